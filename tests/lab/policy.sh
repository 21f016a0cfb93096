# What the policy of the system bus lets everybody do: on both buses that there are, in both Debians.

# A service that its own policy keeps for root, with a secret.
victim() {
    cat <<'END'
package Victim;
use Net::DBus;
use Net::DBus::Exporter qw(org.example.Victim);
use base qw(Net::DBus::Object);
use Net::DBus::Reactor;
dbus_property("Secret", "string", "read");
sub Secret { "do not tell" }
my $service = Net::DBus->system->export_service("org.example.Victim");
my $object = Victim->SUPER::new($service, "/org/example/Victim");
Net::DBus::Reactor->main->run;
END
}

victims_policy() {
    echo '<busconfig>'
    echo '  <policy user="root">'
    echo '    <allow own="org.example.Victim"/><allow send_destination="org.example.Victim"/>'
    echo '  </policy>'
    echo '</busconfig>'
}

prepare() {
    # Only here, so that the other scenarios have machines as they are.
    local lab_packages=$lab_packages,dbus-broker,libnet-dbus-perl lab_root suite service
    for suite in bookworm trixie; do
        lab_root=$(lab_base $suite)
        for service in dbus dbus-broker; do
            install_nodes $suite-$service clock scribe
            victim | put $suite-$service /root/victim
            victims_policy | put $suite-$service /etc/dbus-1/system.d/victim.conf
            # Its alias says which of the two is the bus.
            ln -sfT "/usr/lib/systemd/system/$service.service" \
                "$lab_run/$suite-$service/root/etc/systemd/system/dbus.service"
            boot $suite-$service
            install_user $suite-$service bob
            at $suite-$service systemd-run --quiet --unit=victim perl /root/victim
            eventually 10 at $suite-$service busctl status org.example.Victim > "$lab_run/told" 2>&1
            at $suite-$service systemctl start kozo@scribe kozo@clock
        done
    done
}

# Whether the machine has this bus.
has() { # NAME
    case $1 in
        *-dbus-broker) at "$1" systemctl is-active --quiet dbus-broker && not at "$1" pgrep -x dbus-daemon ;;
        *) at "$1" pgrep -x dbus-daemon && not at "$1" pgrep -x dbus-broker ;;
    esac > "$lab_run/told"
}

by() { # NAME COMMAND...
    local name=$1
    shift
    at "$name" runuser -u bob -- "$@"
}

denied() { # NAME COMMAND...
    not by "$@" > "$lab_run/told" 2>&1
    grep -qiE 'access denied|not allowed|rejected|denied' "$lab_run/told"
}

scenario_it_opens_nodes_and_no_other_service() {
    local name node victim='org.example.Victim /org/example/Victim' freedesktop=org.freedesktop.DBus
    for name in "${!lab_number[@]}"; do
        has "$name"
        [ "$(at "$name" busctl get-property $victim org.example.Victim Secret)" = 's "do not tell"' ]
        denied "$name" busctl get-property $victim org.example.Victim Secret
        denied "$name" busctl call $victim $freedesktop.Properties GetAll s org.example.Victim
        denied "$name" busctl call $victim $freedesktop.ObjectManager GetManagedObjects
        denied "$name" busctl call $victim $freedesktop.Introspectable Introspect
        denied "$name" busctl call $victim $freedesktop.Peer Ping
        # One of the two has the name that they share, the other one waits for it.
        for node in clock scribe; do
            looked_at "$name" $node > "$lab_run/answers"
        done
        denied "$name" busctl set-property org.kozo.Node1.clock /org/kozo/Node1 org.kozo.Node1 Name s x
        denied "$name" busctl call $freedesktop /org/freedesktop/DBus $freedesktop \
            RequestName su org.kozo.Node1 0
    done
}

looked_at() { # NAME NODE
    local node="org.kozo.Node1.$2 /org/kozo/Node1" freedesktop=org.freedesktop.DBus
    [ "$(by "$1" busctl get-property $node org.kozo.Node1 Name)" = "s \"$2\"" ]
    by "$1" busctl call $node $freedesktop.Properties GetAll s org.kozo.Node1
    by "$1" busctl call $node $freedesktop.ObjectManager GetManagedObjects
    by "$1" busctl call $node $freedesktop.Introspectable Introspect
    by "$1" busctl call $node $freedesktop.Peer Ping
    by "$1" busctl call $node org.kozo.Node1 Describe
    by "$1" busctl tree --list "org.kozo.Node1.$2"
    by "$1" kozoctl -n "$2" status
}

scenario_the_node_that_waits_for_the_shared_name_gets_it() {
    local name
    for name in "${!lab_number[@]}"; do
        at "$name" systemctl stop kozo@scribe
        looked_at "$name" clock > "$lab_run/answers"
        at "$name" systemctl restart kozo@clock
        looked_at "$name" clock > "$lab_run/answers"
        # What they share is the name of none.
        by "$name" kozoctl status > "$lab_run/answers"
        at "$name" systemctl start kozo@scribe
        not by "$name" kozoctl status 2> "$lab_run/told"
        grep -qF '(clock, scribe)' "$lab_run/told"
    done
}

scenario_it_opens_nothing_while_no_node_runs() {
    local name
    for name in "${!lab_number[@]}"; do
        at "$name" systemctl stop kozo@scribe kozo@clock
        denied "$name" busctl get-property org.example.Victim /org/example/Victim org.example.Victim Secret
        at "$name" systemctl start kozo@scribe kozo@clock
    done
}
