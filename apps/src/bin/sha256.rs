//! The program `sha256`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::sha256::main);
