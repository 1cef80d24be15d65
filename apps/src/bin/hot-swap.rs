//! The scheduler libOS `hot-swap`: see `apps::scheduler::swap`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::scheduler::swap::main);
