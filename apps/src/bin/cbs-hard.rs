//! The scheduler libOS `cbs-hard`: see `apps::scheduler`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::scheduler::deadlines::cbs_hard);
