# shellcheck shell=bash
# Other file servers from Debian packages, to measure against (tools/bench --peer). Needs common.sh.
# Each runs in network, mount, process and host-name namespaces of its own: its ports, folders and name meet nothing of the
# host's, and all of it ends with its first process, which ends with us, even when we are killed with -9.
# Sets PEER_PID, PEER_URL and PEER_FOLDER, by name.
declare -A PEER_PID=() PEER_SUPERVISOR=() PEER_URL=() PEER_FOLDER=()

# peer_known NAME
peer_known() { case $1 in gluster | ganesha) ;; *) return 1 ;; esac; }

# peer_packages NAME
peer_packages() {
  case $1 in
    gluster) need_quiet_packages glusterfs-server qemu-utils qemu-block-extra iproute2 procps ;;
    ganesha) need_quiet_packages nfs-ganesha nfs-ganesha-vfs rpcbind qemu-utils qemu-block-extra iproute2 procps ;;
  esac
}

# peer_entry NAME: sets ENTRY to the words that let a command run as a client in the peer's namespaces. The command takes the
# place of these words, and ends when we do. It stays in our process namespace, so that its id is the one we see, and gets
# the /proc of that one (GlusterFS's client crashes where it does not find itself in /proc).
peer_entry() {
  # shellcheck disable=SC2016 # the inner shell's own arguments
  ENTRY=(setpriv --pdeathsig KILL nsenter --target "${PEER_PID[$1]}" --net --mount --uts --
    unshare --mount bash -c 'mount -t proc proc /proc && exec "$@"' client)
}

# peer_run NAME COMMAND...: a client of the peer.
peer_run() {
  local ENTRY
  peer_entry "$1"
  shift
  "${ENTRY[@]}" "$@"
}

# peer_servers NAME: the process ids (as this host sees them) of the peer's servers.
peer_servers() {
  local space pid
  space=$(readlink "/proc/${PEER_PID[$1]}/ns/pid")
  for pid in $(pgrep -x 'glusterd|glusterfsd|glusterfs|ganesha.nfsd' || true); do
    [ "$(readlink "/proc/$pid/ns/pid" 2>/dev/null)" != "$space" ] || printf '%s\n' "$pid"
  done
}

# peer_start NAME PARENT: sets the peer up in a new folder of PARENT and waits until a client can reach it.
peer_start() {
  local name=$1 folder inside log
  inside=$(dirname "${BASH_SOURCE[0]}")/peer-inside.sh
  [ "$(id -u)" = 0 ] || die "$EXIT_MISSING" "a peer needs root (for namespaces of its own)" "run this command as root"
  peer_packages "$name"
  folder=$(mktemp -d "$2/stave-peer-$name.XXXXXX")
  PEER_FOLDER[$name]=$folder
  log=$folder/log
  chmod 755 "$folder"
  [ "$(stat -f -c %T "$folder")" != tmpfs ] \
    || warn "$folder is in memory: the peer's flushes cost nothing there; name a folder on a disk with --folder"
  say "Starting $name in $folder"
  setpriv --pdeathsig KILL unshare --net --mount --uts --ipc --pid --fork --kill-child=KILL \
    bash "$inside" "$name" "$folder" </dev/null >"$log" 2>&1 &
  PEER_SUPERVISOR[$name]=$!
  wait_until 60 peer_up_or_dead "$name" || true
  [ -e "$folder/started" ] || {
    tail -n 8 "$log" | sed 's/^/    | /' >&2
    die "$EXIT_FAILED" "$name did not start" "is this machine allowed to make namespaces (unshare --net --pid)? Are the packages of $name whole?"
  }
  PEER_PID[$name]=$(pgrep -P "${PEER_SUPERVISOR[$name]}")
  case $name in
    gluster) PEER_URL[$name]=gluster://peer/bench/bench.img ;;
    ganesha) PEER_URL[$name]=nfs://127.0.0.1$folder/export/bench.img ;;
  esac
  wait_until 30 peer_run "$name" timeout 20 qemu-img create -q -f raw "${PEER_URL[$name]}" 1G || {
    peer_run "$name" timeout 20 qemu-img create -q -f raw "${PEER_URL[$name]}" 1G 2>&1 | tail -n 2 | sed 's/^/    | /' >&2 || true
    { tail -qn 8 "$log" "$folder"/*.log 2>/dev/null || true; } | sed 's/^/    | /' >&2
    die "$EXIT_FAILED" "$name runs but no image can be made on it" "the end of its log stands above"
  }
}

# peer_up_or_dead NAME
peer_up_or_dead() {
  [ -e "${PEER_FOLDER[$1]}/started" ] || ! kill -0 "${PEER_SUPERVISOR[$1]}" 2>/dev/null
}

# peers_stop: ends all peers and wipes their data. For the EXIT trap.
peers_stop() {
  local name
  for name in "${!PEER_SUPERVISOR[@]}"; do
    kill -KILL "${PEER_SUPERVISOR[$name]}" 2>/dev/null || true
    wait "${PEER_SUPERVISOR[$name]}" 2>/dev/null || true
  done
  for name in "${!PEER_FOLDER[@]}"; do
    # The first process of the namespaces is gone only when all the others are.
    [ -z "${PEER_PID[$name]:-}" ] || wait_until 20 test ! -e "/proc/${PEER_PID[$name]}" || warn "$name has not ended yet"
    wait_until 10 rm -rf "${PEER_FOLDER[$name]}" || warn "could not remove ${PEER_FOLDER[$name]}"
  done
  PEER_SUPERVISOR=() PEER_FOLDER=()
}
