#!/bin/sh
# Deploys an image to the swarm, and ends when its replicas answer. Ends with 1 if the swarm
# has rolled back, which it does by itself.
#
#   deploy/deploy.sh STACK IMAGE ENV_FILE [COMPOSE_FILE...]
#
# ENV_FILE is a .env as in .env.example; further Compose files go on top of stack.yml.
set -eu

[ $# -ge 3 ] || {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
stack=$1 image=$2 env_file=$3
shift 3
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
service=${stack}_metro-backend

set -a
# shellcheck source=/dev/null
. "$env_file"
set +a
export METRO_IMAGE="$image"

for each in "$@"; do
    shift
    set -- "$@" --compose-file "$each"
done
docker stack deploy --with-registry-auth --compose-file "$here/stack.yml" "$@" "$stack"

inspect() {
    docker service inspect --format "$1" "$service"
}

# Tasks of that image that run, as the swarm counts them: one that is not healthy does not.
running() {
    docker service ps --filter desired-state=running --format '{{.Image}} {{.CurrentState}}' \
        "$service" | awk -v image="$image" '
            { split($1, name, "@"); if (name[1] == image && $2 == "Running") n++ }
            END { print n + 0 }'
}

waited=0
while [ "$waited" -lt "${DEPLOY_WAIT:-900}" ]; do
    state=$(inspect '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}')
    now=$(inspect '{{.Spec.TaskTemplate.ContainerSpec.Image}}')
    case $state in
        rollback_completed | rollback_paused | paused)
            echo "deploy: $image does not run ($state); the one before goes on" >&2
            docker service ps --no-trunc --format '{{.Image}} {{.CurrentState}} {{.Error}}' \
                "$service" | head -n 10 >&2
            exit 1
            ;;
        completed | '')
            wanted=$(inspect '{{.Spec.Mode.Replicated.Replicas}}')
            case $now in
                "$image" | "$image@"*)
                    if [ "$(running)" -ge "$wanted" ]; then
                        echo "deploy: $wanted replicas of $image"
                        exit 0
                    fi
                    ;;
            esac
            ;;
    esac
    waited=$((waited + 2))
    sleep 2
done
echo "deploy: $image is not up after $waited s" >&2
exit 1
