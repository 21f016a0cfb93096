# Nodes for the machines of the lab: the Nodes clock and scribe of one System, their keys, and what is to be
# seen of them as services.
#
#   install_nodes NAME NODE...   makes a machine with the configuration, and the keys of these Nodes
#   install_user NAME USER [GROUP]   makes a user in a booted machine
#   fresh NODE...                on machine one exactly these run, as if nothing had been before
#   of NODE PROPERTY             a property of a Node's service on machine one
#   is NODE PROPERTY VALUE       whether it has this value
#   said UNIT MATCH...           whether the journal of machine one has such an entry of a unit
#
# The configuration can be had otherwise: $clock_at and $scribe_at are the addresses of the two.

keys() { # the folder of the keys, which are made when they are first wanted
    local folder=$lab_run/.keys name
    if [ ! -d "$folder" ]; then
        mkdir "$folder"
        for name in clock scribe other; do
            ssh-keygen -q -t ed25519 -N '' -C '' -f "$folder/$name"
        done
    fi
    echo "$folder"
}

system() { # the configuration
    local keys
    keys=$(keys)
    cat <<END
heartbeat: 1
system:
    clock:
        privateKey: /etc/kozo/keys/clock
        publicKey: $(cat "$keys/clock.pub")
        roles:
            timer1:
                type: timer
                description: Once a second
                tick: 1
            injector:
                type: message_injector
                log: false
        transports:
            tcp:
                address: $clock_at
    scribe:
        privateKey: /etc/kozo/keys/scribe
        publicKey: $(cat "$keys/scribe.pub")
        roleStorage: /var/lib/kozo/storage
        roles:
            cuckoo:
                log: true
            logger:
                file: /var/log/kozo/scribe.log
            second:
                type: logger
                file: /srv/kozo logs/second.log
        transports:
            tcp lan:
                type: tcp
                address: $scribe_at
                port: 6021
END
}

# On one machine, unless said otherwise.
clock_at=127.0.0.1
scribe_at=scribe.lab

install_nodes() { # NAME NODE...
    local name=$1 node owner
    shift
    machine "$name"
    system | put "$name" /etc/kozo/kozo.yml
    echo '127.0.0.1 scribe.lab' >> "$lab_run/$name/root/etc/hosts"
    for node in "$@"; do
        install -D -m 0600 "$(keys)/$node" "$lab_run/$name/root/etc/kozo/keys/$node"
    done
    # A folder that only this configuration knows of; whose it is, the machine knows.
    owner=$(awk -F: '$1 == "kozo" { print $3 ":" $4 }' "$lab_run/$name/root/etc/passwd")
    mkdir "$lab_run/$name/root/srv/kozo logs"
    chown "$owner" "$lab_run/$name/root/srv/kozo logs"
}

install_user() { # NAME USER [GROUP]
    at "$1" useradd --create-home --shell /bin/bash ${3:+--groups "$3"} "$2"
}

fresh() { # NODE...
    at one systemctl stop 'kozo*@*.socket' 'kozo@*.service'
    at one systemctl reset-failed
    local node
    for node in "$@"; do
        at one systemctl start "kozo@$node"
    done
}

of() { # NODE PROPERTY
    at one systemctl show --value -p "$2" "kozo@$1.service"
}

is() { # NODE PROPERTY VALUE
    [ "$(of "$1" "$2")" = "$3" ]
}

said() { # UNIT MATCH...
    local unit=$1
    shift
    [ -n "$(at one journalctl -q -u "$unit" -o cat "$@")" ]
}

# Whether the sandbox of a Node's service is as tight as is promised; says how tight it is.
is_tight() { # NODE
    local exposure
    exposure=$(at one systemd-analyze security --no-pager "kozo@$1.service" |
        sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "            exposure of $1: $exposure"
    awk "BEGIN { exit !($exposure <= 1.5) }"
}
