# shellcheck shell=bash
# CPU time and peak memory of processes, from /proc. A process that has ended counts as nothing.

# matching_processes PATTERN: ids of the processes whose "NAME ARGUMENTS" begins with the extended regular expression PATTERN,
# NAME being the program's without its folder. Anchored, so that a shell that merely speaks of the pattern does not match.
matching_processes() {
  local folder line arguments
  for folder in /proc/[0-9]*; do
    mapfile -d '' -t arguments 2>/dev/null <"$folder/cmdline" || continue
    ((${#arguments[@]})) || continue
    line="${arguments[0]##*/} ${arguments[*]:1}"
    if [[ $line =~ ^($1)([[:space:]]|$) ]]; then printf '%s\n' "${folder#/proc/}"; fi
  done 2>/dev/null
}

# cpu_microseconds ID...: user and system time of all of them together, in steps of the kernel's tick (10 ms).
cpu_microseconds() {
  local id ticks=0 stat fields
  for id in "$@"; do
    { stat=$(<"/proc/$id/stat"); } 2>/dev/null || continue
    read -r -a fields <<<"${stat##*) }" # the name may hold anything; after it, field 14 of proc(5) is the twelfth
    ticks=$((ticks + fields[11] + fields[12]))
  done
  printf '%d\n' $((ticks * (1000000 / $(getconf CLK_TCK))))
}

# reset_peak_memory ID...: lets VmHWM begin anew, where we may.
reset_peak_memory() {
  local id
  for id in "$@"; do { echo 5 >"/proc/$id/clear_refs"; } 2>/dev/null || true; done
}

# peak_memory ID...: the largest VmHWM, the sum of all, and how many processes: KiB KiB COUNT.
peak_memory() {
  local id peak largest=0 sum=0 count=0
  for id in "$@"; do
    peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$id/status" 2>/dev/null) || continue
    [ -n "$peak" ] || continue
    count=$((count + 1))
    sum=$((sum + peak))
    ((peak <= largest)) || largest=$peak
  done
  printf '%d %d %d\n' "$largest" "$sum" "$count"
}
