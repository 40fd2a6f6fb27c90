// StatsD adds up what the server sends and hands it to InfluxDB's Graphite listener.
// A single expression: StatsD evaluates this file. Names and storage: docs/statistics.md.
{
  port: Number(process.env.STATSD_PORT || 8125),
  address: process.env.STATSD_ADDRESS || "0.0.0.0",

  // Answers to nobody but this container: whoever reaches it may delete counters.
  mgmt_port: Number(process.env.STATSD_MGMT_PORT || 8126),
  mgmt_address: process.env.STATSD_MGMT_ADDRESS || "127.0.0.1",

  // Milliseconds. What StatsD holds is lost when it is killed, so this is also the most to lose.
  flushInterval: Number(process.env.STATSD_FLUSH_INTERVAL || 10000),

  // Without this a name that was sent once is written for ever, as zero.
  deleteIdleStats: true,

  // No `sum`: where the server sends a sample of its measurements, it is the sample's sum.
  // `mean` times `count` is right in either case.
  percentThreshold: [90],
  calculatedTimerMetrics: [
    "count", "count_ps", "lower", "mean", "median", "std", "upper", "upper_percent"
  ],

  backends: ["./backends/graphite"],
  graphiteHost: process.env.GRAPHITE_HOST || "influxdb",
  graphitePort: Number(process.env.GRAPHITE_PORT || 2003),
  graphite: {
    // The old name space has neither `.count` nor `.rate`, and puts counters beside all else.
    legacyNamespace: false,
    globalPrefix: "stats",
    prefixCounter: "counters",
    prefixTimer: "timers",
    prefixGauge: "gauges",
    prefixSet: "sets"
  },
  prefixStats: "statsd",

  // A mounted file that changes must not change a running server by half.
  automaticConfigReload: false,
  title: false,
  debug: false,
  dumpMessages: false
}
