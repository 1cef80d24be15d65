//! The program `monte-carlo`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::monte_carlo::main);
