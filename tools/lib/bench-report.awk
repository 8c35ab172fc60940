# The report of tools/bench. Input files, in order: titles (pattern, title), memory (target, largest KiB, sum KiB, processes),
# results (target, pattern, run, operations, block, seconds, flush seconds, server CPU us, client CPU us); fields are split by tabs.
# -v format=table|json -v runs=N

BEGIN { FS = "\t" }
FNR == 1 { file++ }
file == 1 { patterns[++patternCount] = $1; title[$1] = $2 }
file == 2 { targets[++targetCount] = $1; largest[$1] = $2; sum[$1] = $3; processes[$1] = $4 }
file == 3 {
  key = $1 SUBSEP $2
  seconds = $6 > 0 ? $6 : 0.001 # qemu-img's clock has milliseconds
  operations[key] = $4
  block[key] = $5
  keep("rate", key, $3, $4 / seconds)
  keep("flush", key, $3, $7)
  keep("server", key, $3, $8 / $4)
  keep("client", key, $3, $9 / $4)
}
END { if (format == "json") json(); else table() }

function keep(what, key, run, value) { figure[what, key, run] = value }

# Reads have no final flush, and of some targets it is not known.
function flushed(key) { return figure["flush", key, 1] != "-" }

# The median over the runs: the middle one, or the mean of the two in the middle.
function median(what, key,    values, i, j, held) {
  for (i = 1; i <= runs; i++) {
    held = figure[what, key, i]
    for (j = i - 1; j >= 1 && values[j] > held; j--) values[j + 1] = values[j]
    values[j + 1] = held
  }
  if (runs % 2) return values[(runs + 1) / 2]
  return (values[runs / 2] + values[runs / 2 + 1]) / 2
}

function table(    p, t, key, first, ratio) {
  printf "\n%-20s %-10s %10s %10s %9s %13s %13s", "pattern", "target", "ops/s", "MiB/s", "flush s", "server us/op", "client us/op"
  if (targetCount > 1) printf "  %s", targets[1] " is"
  printf "\n"
  for (p = 1; p <= patternCount; p++) {
    first = targets[1] SUBSEP patterns[p]
    for (t = 1; t <= targetCount; t++) {
      key = targets[t] SUBSEP patterns[p]
      ratio = ""
      if (t > 1) ratio = sprintf("  %.2fx", median("rate", first) / median("rate", key))
      printf "%-20s %-10s %10.0f %10.1f %9s %13.0f %13.0f%s\n", t == 1 ? title[patterns[p]] : "", targets[t], \
        median("rate", key), median("rate", key) * block[key] / 1048576, \
        flushed(key) ? sprintf("%.3f", median("flush", key)) : "-", median("server", key), median("client", key), ratio
    }
  }
  printf "\n"
  for (t = 1; t <= targetCount; t++)
    printf "%s: %d server processes, peak memory of the largest %.0f MiB, of all %.0f MiB\n", targets[t], processes[targets[t]], \
      largest[targets[t]] / 1024, sum[targets[t]] / 1024
  printf "Medians of %d run%s.\n", runs, runs == 1 ? "" : "s"
}

function series(what, key,    i, out) {
  for (i = 1; i <= runs; i++) out = out (i > 1 ? ", " : "") sprintf("%.3f", figure[what, key, i])
  return "[" out "]"
}

function json(    p, t, key, first) {
  printf "{\n  \"date\": \"%s\",\n  \"processors\": %d,\n  \"runs\": %d,\n  \"targets\": {\n", date, processors, runs
  for (t = 1; t <= targetCount; t++) {
    printf "    \"%s\": {\n      \"serverProcesses\": %d,\n      \"peakMemoryLargestKiB\": %d,\n      \"peakMemorySumKiB\": %d,\n      \"patterns\": {\n", \
      targets[t], processes[targets[t]], largest[targets[t]], sum[targets[t]]
    for (p = 1; p <= patternCount; p++) {
      key = targets[t] SUBSEP patterns[p]
      first = targets[1] SUBSEP patterns[p]
      printf "        \"%s\": { \"operations\": %d, \"blockBytes\": %d, \"operationsPerSecond\": %.1f, \"mebibytesPerSecond\": %.2f, \"flushSeconds\": %s, \"serverMicrosecondsPerOperation\": %.1f, \"clientMicrosecondsPerOperation\": %.1f", \
        patterns[p], operations[key], block[key], median("rate", key), median("rate", key) * block[key] / 1048576, \
        flushed(key) ? sprintf("%.3f", median("flush", key)) : "null", median("server", key), median("client", key)
      if (t > 1) printf ", \"firstTargetTimesThis\": %.3f", median("rate", first) / median("rate", key)
      printf ",\n          \"allOperationsPerSecond\": %s, \"allFlushSeconds\": %s }%s\n", series("rate", key), flushed(key) ? series("flush", key) : "null", p < patternCount ? "," : ""
    }
    printf "      }\n    }%s\n", t < targetCount ? "," : ""
  }
  printf "  }\n}\n"
}
