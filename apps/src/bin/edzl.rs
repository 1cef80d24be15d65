//! The scheduler libOS `edzl`: see `apps::scheduler`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::scheduler::global::edzl);
