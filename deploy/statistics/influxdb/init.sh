#!/bin/sh
# Makes InfluxDB keep the statistics for one month, whatever was there before; may run again and again.
#
# InfluxDB's Graphite listener makes a missing database or policy by itself, and then it keeps data
# for ever. So it is not enough to create the policy: one that exists is altered.
#
#   INFLUXDB_URL        http://influxdb:8086
#   INFLUXDB_DATABASE   mosmetro
#   INFLUXDB_POLICY     month             the policy that influxdb.conf names
#   INFLUXDB_DURATION   31d
#   INFLUXDB_SHARD      1d                data goes in pieces of this size
#   INFLUXDB_USER, INFLUXDB_PASSWORD      empty; an administrator, where auth-enabled is true
#   INFLUXDB_WAIT       60                seconds to wait for InfluxDB
#
# Needs curl. Ends with 1 and a line that tells why if the policy is not as it should be.
set -eu

url=${INFLUXDB_URL:-http://influxdb:8086}
database=${INFLUXDB_DATABASE:-mosmetro}
policy=${INFLUXDB_POLICY:-month}
duration=${INFLUXDB_DURATION:-31d}
shard=${INFLUXDB_SHARD:-1d}
wait=${INFLUXDB_WAIT:-60}

fail() {
    echo "init: $*" >&2
    exit 1
}

command -v curl >/dev/null || fail "needs curl"

for name in "$database" "$policy" "$duration" "$shard"; do
    case $name in
        '' | *[!A-Za-z0-9_-]*) fail "not a name: '$name'" ;;
    esac
done

# The password goes through standard input: arguments can be read by every process.
request() {
    if [ -n "${INFLUXDB_USER:-}" ]; then
        printf '%s:%s' "$INFLUXDB_USER" "${INFLUXDB_PASSWORD:-}" |
            sed 's/[\\"]/\\&/g; s/.*/user = "&"/'
    fi | curl --silent --show-error --max-time 30 --config - "$@"
}

# InfluxDB answers 200 to a statement that failed; then there is an "error" in the body.
query() {
    request --data-urlencode "q=$1" "$url/query"
}

run() {
    answer=$(query "$1") || fail "no answer to: $1"
    case $answer in
        *'"error"'*) fail "$1: $answer" ;;
    esac
}

# Each policy as `"NAME","DURATION",…`, one a line; a database that was just made may have none.
policies() {
    query "SHOW RETENTION POLICIES ON \"$database\"" | tr '[' '\n'
}

waited=0
until request --fail --output /dev/null "$url/ping" 2>/dev/null; do
    [ "$waited" -lt "$wait" ] || fail "no InfluxDB at $url for $wait s"
    waited=$((waited + 1))
    sleep 1
done

terms="DURATION $duration REPLICATION 1 SHARD DURATION $shard DEFAULT"
run "CREATE DATABASE \"$database\""
# Refuses if the policy exists on other terms, which the next statement changes.
query "CREATE RETENTION POLICY \"$policy\" ON \"$database\" $terms" >/dev/null
run "ALTER RETENTION POLICY \"$policy\" ON \"$database\" $terms"

# The policy that InfluxDB makes with a database: its data stays readable until it is too old.
if [ "$policy" != autogen ] && policies | grep -q '^"autogen","0s"'; then
    run "ALTER RETENTION POLICY \"autogen\" ON \"$database\" DURATION $duration SHARD DURATION $shard"
    echo "init: $database.autogen kept data for ever, now for $duration"
fi

policies | grep "^\"$policy\"," | grep -q ',true\]' || fail "$policy is not the default policy"
if policies | grep -q "^\"$policy\",\"0s\""; then
    fail "$policy keeps data for ever"
fi
policies | sed -n 's/^"\([^"]*\)","0s".*/init: warning: \1 keeps data for ever/p'
echo "init: $database.$policy keeps data for $duration"
