//! The scheduler program `template`: one activation on each core runs the policy over its clients there.
#![cfg_attr(target_os = "none", no_std, no_main)]

use libos_core::start::StartInfo;

libos_core::program!(serve);

fn serve(info: StartInfo) {
    apps::scheduler::run(&info, template::policy);
}
