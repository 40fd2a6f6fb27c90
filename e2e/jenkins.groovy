// Runs a Jenkinsfile without a Jenkins: the steps that it uses, each with real shells.
// Standard input is a scenario in JSON (see pipeline.py); standard output is what happened.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper

class Failed extends Exception {
    Failed(String message) { super(message) }
}

def scenario = new JsonSlurper().parse(System.in)
def workspace = new File(scenario.workspace)
def events = []
def log = new StringBuilder()
def params = [:]
def env = new LinkedHashMap(scenario.env)
env.putAll([WORKSPACE: workspace.path, BRANCH_NAME: scenario.branch, JOB_NAME: 'metro', BUILD_NUMBER: '1', BUILD_URL: 'https://jenkins.example/job/metro/1/'])
def hidden = [:]              // variables of withCredentials
def stages = []               // the stages around the step, and what they have declared
def binding = new Binding()
def declared = [[:]]          // the pipeline's own, then the current stage's
def result = 'SUCCESS'

def note = { String step, Map more = [:] ->
    events << ([stage: stages ? stages.last() : '', step: step] + more)
}
def guard = {
    if (stages && stages.last() == scenario.failing) {
        throw new Failed("made to fail: ${scenario.failing}")
    }
}
def execute = { List<String> command, boolean capture ->
    def builder = new ProcessBuilder(command).directory(workspace)
    builder.environment().clear()
    builder.environment().putAll((env + params + hidden).collectEntries { k, v -> [k.toString(), v.toString()] })
    def process = builder.start()
    process.outputStream.close()
    def out = new StringBuilder()
    def err = new StringBuilder()
    process.waitForProcessOutput(out, err)
    log << err
    if (!capture) { log << out }
    if (process.exitValue() != 0) {
        throw new Failed("exit status ${process.exitValue()}")
    }
    return out.toString()
}

// Steps.
binding.sh = { given ->
    String text = given instanceof Map ? given.script : given
    boolean capture = given instanceof Map && given.returnStdout
    note('sh', [text: text])
    guard()
    def file = File.createTempFile('step', '.sh')
    try {
        file.text = text
        return execute(['/bin/sh', '-xe', file.path], capture)
    } finally {
        file.delete()
    }
}
binding.checkout = { scm -> note('checkout'); guard(); execute(scenario.checkout, false) }
binding.junit = { Map given -> note('junit', [text: given.testResults]) }
binding.githubNotify = { Map given -> note('githubNotify', [text: given.status]) }
binding.mail = { Map given -> note('mail', [text: given.subject]) }
binding.deleteDir = { -> note('deleteDir') }
binding.script = { Closure body -> body() }
binding.withCredentials = { List<Map> wanted, Closure body ->
    wanted.each { each ->
        def value = scenario.credentials[each.credentialsId]
        if (value == null) { throw new Failed("no credentials ${each.credentialsId}") }
        if (each.kind == 'usernamePassword') {
            hidden[each.usernameVariable] = value.username
            hidden[each.passwordVariable] = value.password
        } else {
            hidden[each.variable] = value
        }
    }
    try { body() } finally { hidden.clear() }
}
binding.usernamePassword = { Map given -> given + [kind: 'usernamePassword'] }
binding.file = { Map given -> given }
def parameter = { Map given ->
    if (given.credentialsId) { return given }
    params[given.name] = scenario.params.containsKey(given.name) ? scenario.params[given.name] : given.defaultValue
}
binding.string = parameter
binding.booleanParam = parameter

// The declarative part.
def swallow = { Closure body ->
    body.delegate = new Object() { Object invokeMethod(String name, Object given) { return [:] } }
    body.resolveStrategy = Closure.DELEGATE_ONLY
    body()
}
binding.agent = swallow
binding.options = swallow
binding.parameters = { Closure body -> body() }
binding.environment = { Closure body ->
    def before = new HashSet(binding.variables.keySet())
    body()
    (binding.variables.keySet() - before).each { env[it] = binding.variables[it].toString() }
}
binding.steps = { Closure body -> declared.last().steps = body }
binding.when = { Closure body -> declared.last().when = body }
binding.post = { Closure body -> declared.last().post = body }
binding.expression = { Closure body -> body() }
def conditions = ['always', 'success', 'failure', 'unsuccessful', 'cleanup']
def finish = { Closure body, boolean good ->
    def blocks = [:]
    conditions.each { name -> binding.setVariable(name, { Closure block -> blocks[name] = block }) }
    body()
    ['always', good ? 'success' : 'failure', good ? '' : 'unsuccessful', 'cleanup'].each { blocks[it]?.call() }
}
binding.stage = { String name, Closure body ->
    if (result != 'SUCCESS') { return }
    declared << [:]
    body()
    def it = declared.pop()
    stages << name
    try {
        if (it.when && !it.when()) { note('skipped'); return }
        try {
            note('started')
            it.steps()
        } catch (Failed error) {
            log << "${name}: ${error.message}\n"
            result = 'FAILURE'
        }
        if (it.post) { finish(it.post, result == 'SUCCESS') }
    } finally {
        stages.pop()
    }
}
binding.stages = { Closure body -> body() }
binding.pipeline = { Closure body ->
    body()
    if (declared.last().post) { finish(declared.last().post, result == 'SUCCESS') }
}
binding.env = env
binding.params = params
binding.scm = [:]

new GroovyShell(binding).evaluate(new File(scenario.jenkinsfile))
println JsonOutput.toJson([result: result, events: events, log: log.toString(), image: env.METRO_IMAGE])
