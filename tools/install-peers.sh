#!/bin/sh
# Install the programs that the interop tests talk to (Debian 12). Does nothing where they are present.
# usage: tools/install-peers.sh [MORE PACKAGES]      as root, or as a user who may sudo
# PJSIP comes from PyPI, with the extra `interop`; JsSIP, the library of browsers, from npm.
set -eu

# sipp; sipsak; two kamailio modules for the peers with SQLite and TLS; baresip; openssl makes certificates;
# iproute2 makes network namespaces; redis-server and postgresql hold bindings and accounts;
# rtpengine relays media; slapd is a directory of accounts; mosquitto, rabbitmq and nats are told of
# events. What is in the last line are codecs.
peers="sip-tester sipsak kamailio kamailio-sqlite-modules kamailio-tls-modules baresip-core openssl iproute2
redis-server postgresql rtpengine-daemon slapd mosquitto mosquitto-clients rabbitmq-server nats-server
libopus0 libbcg729-0 libgsm1 libopencore-amrnb0 libopencore-amrwb0 libvo-amrwbenc0"

# JsSIP runs under Node, whichever is there.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then peers="$peers nodejs npm"; fi
modules=/usr/local/lib/rvoip-peers
jssip=3.13.8

missing=
for package in $peers "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ] && [ -d $modules/node_modules/jssip ]; then exit 0; fi

root=
if [ "$(id -u)" != 0 ]; then root=sudo; fi

if [ -n "$missing" ]; then
    # A package must not start its server: kamailio's would take the port that `make run` listens on.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '$root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
        $root chmod 755 "$policy"
    fi
    echo "installing$missing"
    $root apt-get -qq update
    # shellcheck disable=SC2086  # a list of packages
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $missing >/dev/null
fi

if [ ! -d $modules/node_modules/jssip ]; then
    echo "installing jssip"
    $root mkdir -p $modules
    $root npm install --silent --no-audit --no-fund --prefix $modules jssip@$jssip ws@8 >/dev/null
fi
