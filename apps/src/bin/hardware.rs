//! The program `hardware`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::hardware::main);
