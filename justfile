# Every command of the project under one name, for people and for CI alike; `./just` alone lists them.
# A recipe's `setup` dependency puts in place what it needs, in a few milliseconds where that is there already.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Every bash that a recipe starts reads this file first: the toolchain and the linkers that setup found.
export BASH_ENV := justfile_directory() / ".tools/env"

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
# What runs on the boards is built with other flags than the host's; in folders of their own, neither undoes the other's work, and kernel and
# programs are built at the same time.
guest_kernel := target / "kernel"
guest_apps := target / "apps"
kernel := guest_kernel / "aarch64-unknown-none-softfloat/release/tranche-boards"
apps := guest_apps / "aarch64-unknown-none/release"

# The programs that run on Linux: apart from the others, all of which go onto the boards.
linux_programs := target / "linux/aarch64-unknown-none/release"

for_guest := "--release -Zbuild-std=core,alloc,compiler_builtins"
for_kernel := for_guest + " --target-dir '" + guest_kernel + "' --target aarch64-unknown-none-softfloat -p tranche-boards"
# Every folder of policies/ is a policy's crate, with a program of the same name.
policies := `for each in policies/*/; do printf ' -p %s' "$(basename "$each")"; done`
for_apps := for_guest + " --target-dir '" + guest_apps + "' --target aarch64-unknown-none -p apps" + policies
for_linux := "--release --target-dir '" + target / "linux" + "' -Zbuild-std=core,compiler_builtins --target aarch64-unknown-none -p linux-guest"
# Of the bootable image, only the library builds on the host.
for_host := "--workspace --exclude tranche-boards"
# The host tool is built as the tests build it, so that both share its dependencies.
tranche := "cargo run --quiet -p tranche-tools --"
images := "--kernel '" + kernel + "' --apps '" + apps + "'"

[private]
default:
    @"{{just_executable()}}" --justfile "{{justfile()}}" --list --unsorted

# Run a scenario, a file or the name of one in scenarios/, on QEMU's virt board; flags go to the runner (--realtime, --export, --display, --help)
run-qemu scenario="compete" *flags: (setup "rust qemu") (run "virt" scenario flags)

# Run a scenario on QEMU's Raspberry Pi 4 (raspi4b)
run-pi scenario="compete" *flags: (setup "rust qemu dtb") (run "rpi4" scenario flags)

# Make an SD card for a Raspberry Pi 4, which boots into a scenario: out/rpi4/sd.img, and the same files in out/rpi4/files
sd-image scenario="compete" *flags: (setup "rust dtb firmware") build
    {{tranche}} sd-image {{images}} '{{scenario}}' {{flags}}

# Take a real board's results from its serial line (a device), its card's RESULTS.TRN, or a card's image; flags: --rate N, --help
pi-collect source *flags: (setup "rust")
    {{tranche}} pi-collect '{{source}}' {{flags}}

# Simulate a scenario: a path, or a name in scenarios/; flags: --policy P, --seed N, --cores N
sim scenario *flags: (setup "rust")
    {{tranche}} sim '{{scenario}}' {{flags}}

# Tell a recorded run, of sim or of a board, to another policy: ./just replay out/run-qemu --policy edf
replay recording *flags: (setup "rust")
    {{tranche}} replay '{{recording}}' {{flags}}

# Run all tests, on the host and on QEMU. What runs on QEMU is built beside the host's tests, which leave a core idle now and then
test: (setup "rust python browser qemu dtb firmware fat")
    #!/usr/bin/env bash
    set -euo pipefail
    recipe() { "{{just_executable()}}" --justfile "{{justfile()}}" "$@"; }
    recipe build-guests & guests=$!
    recipe test-host || { kill $guests 2>/dev/null || true; exit 1; }
    wait $guests
    recipe test-qemu
    echo "test: all passed, on the host and on QEMU"

# Run the tests that need no QEMU
test-host: (setup "rust python browser")
    cargo test --quiet {{for_host}}
    cargo test --quiet -p tranche-boards --lib

# Run the matrix: both boards, 1 to 8 cores, both interrupt controllers
test-qemu: (setup "rust qemu dtb firmware fat") build
    {{tranche}} matrix {{images}}
    TRANCHE_KERNEL='{{kernel}}' TRANCHE_APPS='{{apps}}' cargo test --quiet -p tranche-tools --test pi
    {{tranche}} predict {{images}} --duration-ms 1000 --policies stride,edf
    {{tranche}} conformance {{images}} --only 3-2-1 --out out/conformance-quick
    {{tranche}} conformance {{images}} --only edzl-two-thirds --out out/conformance-quick
    {{tranche}} blast {{images}} --quick --only never-yields --out out/blast-quick
    {{tranche}} bench --quick --out out/bench-quick {{images}}
    {{tranche}} screens {{images}}

# Measure on QEMU what the simulator reckons with, and write its table: to be done when costs have changed; some minutes
costs: (setup "rust qemu") build
    {{tranche}} costs {{images}} --out out/costs

# Make published experiments again, on the kernel and in the simulator, beside what is expected; flags: --only NAME, --on simulator, --list
conformance *flags: (setup "rust qemu") build
    {{tranche}} conformance {{images}} {{flags}}

# Let ten thousand random sets of tasks ask for guarantees in the simulator, and fifty on the kernel; flags: --sets N, --on-kernel N, --seed N
guarantee *flags: (setup "rust qemu") build
    {{tranche}} guarantee {{images}} {{flags}}

# Make a policy of your own: a crate in policies/ that compiles, is tested, runs and can be compared; docs/write-a-scheduler.md
new-policy name: (setup "rust")
    {{tranche}} new-policy '{{name}}'

# Grade a policy as one of the known ones: its laws, and that one's published results, in the simulator and on the kernel: ./just grade mine stride
grade policy as *flags: (setup "rust qemu") build
    {{tranche}} grade {{images}} '{{policy}}' '{{as}}' {{flags}}

# Let a scheduler fail in every way, and measure what others have of it before, during and after; flags: --only NAME,…, --quick, --list
blast *flags: (setup "rust qemu") build
    {{tranche}} blast {{images}} {{flags}}

# Compare simulations with the kernel's runs of the same scenarios (files, or all that are simulated); flags: --duration-ms N
predict *flags: (setup "rust qemu") build
    {{tranche}} predict {{images}} {{flags}}

# Measure what the kernel's operations cost, beside Linux; --quick leaves out Linux and several cores
bench *flags: (setup "rust qemu linux") build build-linux
    {{tranche}} bench {{images}} --linux-program '{{linux_programs}}/linux-bench' {{flags}}

# Compare policies on workloads with several seeds, as a page: compare [--workloads FILE…] [--policies …] [--seeds K] [--on sim] [--linux] [--snakemake] …
compare *flags: (setup if flags =~ "--linux" { "rust qemu linux" } else { "rust qemu" }) build
    {{ if flags =~ "--linux" { "RUSTC_BOOTSTRAP=1 cargo build " + for_linux } else { "" } }}
    {{tranche}} compare {{images}} --linux-program '{{linux_programs}}/linux-sched' {{flags}}

# Measure the benchmark's operations on Linux alone, in QEMU
bench-linux *flags: (setup "rust qemu linux") build-linux
    {{tranche}} linux-bench --program '{{linux_programs}}/linux-bench' {{flags}}

# Take pictures of the display on both boards, look whether they show what they should, and put them into docs/img
screenshots *flags: (setup "rust qemu dtb firmware") build
    {{tranche}} screens {{images}} --keep docs/img {{flags}}

# Print a scenario of random periodic tasks; flags: --n, --utilisation, --shortest-ms, --longest-ms, --seed
taskset *flags: (setup "rust")
    @{{tranche}} taskset {{flags}}

# Make a scenario of a task set of rt-app (JSON) or SimSo (XML); flags: --out FILE, --policy P, --cores N, --duration-ms N
import file *flags: (setup "rust")
    @{{tranche}} import '{{file}}' {{flags}}

# Make ten million calls of chance while others work, on both boards or on one (virt, rpi4): some minutes for each
fuzz board="virt rpi4": (setup "rust qemu dtb") build
    for each in {{board}}; do \
        {{tranche}} run --board "$each" {{images}} --scenario fuzz --out "out/fuzz-$each" --timeout 3600; \
    done

# Check formatting, lints and documentation, for the host and for both targets; every warning is an error
check: (setup "rust")
    cargo fmt --all --check
    cargo clippy --quiet {{for_host}} --all-targets -- -D warnings
    cargo clippy --quiet -p tranche-boards --lib --profile test -- -D warnings
    RUSTC_BOOTSTRAP=1 cargo clippy --quiet {{for_kernel}} -- -D warnings
    RUSTC_BOOTSTRAP=1 cargo clippy --quiet {{for_apps}} -p linux-guest -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps {{for_host}}
    RUSTDOCFLAGS="-D warnings" RUSTC_BOOTSTRAP=1 cargo doc --quiet --no-deps {{for_kernel}} -p tranche-kernel
    RUSTDOCFLAGS="-D warnings -Zfixed-x18" RUSTC_BOOTSTRAP=1 cargo doc --quiet --no-deps {{for_apps}} -p libos-core -p linux-guest
    @echo "check: formatting, lints and documentation are clean"

# Build the kernel, the EL0 programs and the host tool
build: build-guests
    cargo build -p tranche-tools

# Start QEMU stopped at its first instruction, with gdb attached and the kernel's symbols loaded
debug scenario="compete" board="virt": (setup "rust qemu dtb gdb") build
    #!/usr/bin/env bash
    set -eum # Each job its own process group: Ctrl-C is for gdb alone.
    mkdir -p out
    {{tranche}} run --board {{board}} {{images}} --scenario '{{scenario}}' --gdb >out/debug.log 2>&1 &
    trap 'kill %1 2>/dev/null || true' EXIT
    echo "What the guest prints goes to out/debug.log"
    .tools/bin/guest-gdb -q "{{kernel}}" -ex "set architecture aarch64" -ex "target remote localhost:1234"

# Walk one time slice through five files; fails if a step of it is gone
tour:
    @scripts/tour

# Put in place what is missing: setup [just] [rust] [qemu] [dtb] [gdb] [linux] [python] [browser]
setup *parts="rust qemu dtb":
    @scripts/setup {{parts}}

# Remove what was built and what runs have left; the tools that setup brought stay
clean:
    rm -rf "{{target}}" out

[private]
run board scenario flags: build
    {{tranche}} run --board {{board}} {{images}} --scenario {{ if scenario =~ '^-' { "compete " + scenario } else { quote(scenario) } }} {{flags}}

[private]
build-guests: (setup "rust")
    RUSTC_BOOTSTRAP=1 cargo build {{for_kernel}} & RUSTC_BOOTSTRAP=1 cargo build {{for_apps}} && wait $!

[private]
build-linux: (setup "rust")
    RUSTC_BOOTSTRAP=1 cargo build {{for_linux}}
