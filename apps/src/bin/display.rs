//! The program `display`.
#![cfg_attr(target_os = "none", no_std, no_main)]
libos_core::program!(apps::display::main);
