# Installing packages, for scripts/setup, which reads this file. Not here: which packages, and why.
#
# Only apt is driven by itself, and only as root or where sudo asks for no password; for the rest `package_command` says
# what to type.

can_install() {
    have apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

codename() {
    sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# Fetches the package lists, once in a run.
apt_refresh() {
    [ -n "${REFRESHED-}" ] || logged "Fetching package lists" as_root apt-get update || return 1
    REFRESHED=yes
}

apt_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '(none)' || true
}

# apt_install MESSAGE [OPTION…] PACKAGE…; never removes a package of the user's.
apt_install() {
    local message=$1
    shift
    apt_refresh && logged "$message" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-remove --no-install-recommends "$@"
}

# What to type for Debian's package $1 on this kind of machine.
package_command() {
    if have apt-get; then
        case $1-$(codename) in
        qemu-system-arm-bookworm)
            echo "apt-get update && apt-get install qemu-system-{arm,common,data}/bookworm-backports   (as root, with that suite configured)"
            ;;
        *) echo "apt-get update && apt-get install $1   (as root)" ;;
        esac
    elif have dnf; then
        case $1 in qemu-system-arm) set -- qemu-system-aarch64-core ;; gdb-multiarch) set -- gdb ;; esac
        echo "sudo dnf install $1"
    elif have brew; then
        case $1 in qemu-system-arm) set -- qemu ;; gdb-multiarch) set -- aarch64-elf-gdb ;; gcc) set -- llvm ;; esac
        echo "brew install $1"
    else
        echo "(with your system's package manager) install $1"
    fi
}

# --- suites ---

# Adds suite $1 with the mirror and the key by which apt knows the present release.
add_suite() {
    local file known
    file=/etc/apt/sources.list.d/$1.sources
    known=$(apt_sources "$(codename)" | head -n 1)
    [ -n "$known" ] || return 1
    case $known in
    *.sources) deb822_for_suite "$1" main <"$known" ;;
    *) file=${file%.sources}.list && one_line_for_suite "$1" main <"$known" ;;
    esac >"$TOOLS/suite"
    [ -s "$TOOLS/suite" ] || return 1
    say "Adding the suite $1 in $file"
    as_root install -m 644 "$TOOLS/suite" "$file" && rm "$TOOLS/suite"
    if ! logged "Fetching its package lists" as_root apt-get update || ! apt-cache policy | grep "n=$1," >/dev/null; then
        as_root rm -f "$file"
        fail "the mirror of $known has no suite $1; its source file was removed again."
    fi
}

# The stanza of a .sources file (standard input) that names the present release, for suite $1 and component $2.
deb822_for_suite() {
    awk -v RS= -v release="$(codename)" -v suite="$1" -v component="$2" '
        ("\n" $0 "\n") ~ "\nSuites:[^\n]*[ \t]" release "[ \t\n]" {
            lines = split($0, line, "\n")
            for (i = 1; i <= lines; i++) {
                if (line[i] ~ /^#/) continue
                if (line[i] ~ /^Types:/) line[i] = "Types: deb"
                if (line[i] ~ /^Suites:/) line[i] = "Suites: " suite
                if (line[i] ~ /^Components:/) line[i] = "Components: " component
                print line[i]
            }
            exit
        }'
}

# The line of a .list file (standard input) that names the present release, for suite $1 and component $2.
one_line_for_suite() {
    sed -n -E "s/^(deb +(\[[^]]*\] +)?[^ ]+ +)$(codename) .*/\1$1 $2/p" | head -n 1
}

# The source files in which suite $1 is configured.
apt_sources() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(RELEASE) $(SOURCESENTRY)' 'Created-By: Packages' |
        awk -v suite="$1" '$1 == suite { sub(/:[0-9]+$/, "", $2); print $2 }'
}
