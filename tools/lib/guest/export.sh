# shellcheck shell=dash
# What the tasks that mount an export share.
# shellcheck disable=SC2034
SERVER=$(option server none)
PORT=$(option port 2049)
MOUNT_PORT=$(option mountport 2049)
EXPORT=$(option export /)

# mount_export ADDRESS FOLDER [OPTIONS]
mount_export() {
  mount -t nfs -o "vers=3,proto=tcp,port=$PORT,mountproto=tcp,mountport=$MOUNT_PORT,mountaddr=$1,addr=$1,nolock,hard,timeo=600${3:+,$3}" \
    "$1:$EXPORT" "$2"
}

# QEMU's user network makes a connection of the host's own from each of the guest's, to the same address. The host's loopback
# addresses are reached like any other, if the guest gives up its own (no interface lo) and takes them for routable.
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
# reach ADDRESS
reach() { ip route add "$1/32" via 10.0.2.2; }
