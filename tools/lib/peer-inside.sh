#!/usr/bin/env bash
# The first process of a peer's namespaces: sets the peer up on their own loopback and waits. Started by peers.sh:
#   peer-inside.sh gluster|ganesha FOLDER
# Nothing outside FOLDER is written: what the peer keeps in fixed places of the host is covered by mounts that end with it.
set -euo pipefail
peer=$1 folder=$2

ip link set lo up
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
# The peer must know itself by a name that leads to loopback, whatever the host's own name leads to.
hostname peer
printf '127.0.0.1 localhost peer\n' >"$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts

case $peer in
  ganesha)
    # NFS-Ganesha with the VFS back end: one server, one copy, straight onto a local folder.
    mkdir -p "$folder"/{export,recovery} /run/ganesha /run/rpcbind /var/lib/nfs
    mount --bind "$folder/recovery" /var/lib/nfs
    rpcbind -i
    cat >"$folder/ganesha.conf" <<CONFIG
NFS_CORE_PARAM { Protocols = 3; mount_path_pseudo = false; NFS_Port = 2049; MNT_Port = 20048; NLM_Port = 20049; Rquota_Port = 20050; }
EXPORT { Export_Id = 1; Path = $folder/export; Pseudo = /bench; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  FSAL { Name = VFS; } CLIENT { Clients = *; Access_Type = RW; } }
NFSv4 { Graceless = true; }
LOG { Default_Log_Level = WARN; }
CONFIG
    ganesha.nfsd -f "$folder/ganesha.conf" -L "$folder/ganesha.log" -p "$folder/ganesha.pid" ;;
  gluster)
    # GlusterFS, replica 3 on one host, with the option group that its makers give for images of virtual machines.
    mkdir -p "$folder"/{brick1,brick2,brick3,state,logs} /run/gluster
    cp -a /var/lib/glusterd/groups "$folder/state/"
    mount --bind "$folder/state" /var/lib/glusterd
    mount --bind "$folder/logs" /var/log/glusterfs
    glusterd -p "$folder/glusterd.pid"
    for _ in $(seq 100); do
      gluster --mode=script pool list >/dev/null 2>&1 && break
      sleep 0.2
    done
    gluster --mode=script volume create bench replica 3 "peer:$folder/brick1" "peer:$folder/brick2" "peer:$folder/brick3" force
    gluster --mode=script volume set bench group virt
    gluster --mode=script volume set bench server.allow-insecure on
    gluster --mode=script volume start bench ;;
esac
touch "$folder/started"
while :; do
  sleep 3600 &
  wait $!
done
