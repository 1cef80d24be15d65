//! What a Raspberry Pi's firmware is asked and told at boot: the console's clock, and that the cores run at one speed.
//!
//! Not here: the display ([`crate::screen`]), and what a run asks later (the kernel's `machine_state`).

use tranche_boards::tree::Tree;
use tranche_kernel::arch::aarch64::mailbox;
use tranche_kernel::firmware::{Message, clock, tag};

/// Starts the mailbox, if there is one. How fast the console's clock is, in Hz, if the firmware says so.
pub fn begin(tree: &Tree<'_>) -> Option<u32> {
    mailbox::begin(crate::device(tree.mailbox?));
    let asked = mailbox::call(Message::clock(tag::CLOCK_RATE, clock::UART))?;
    asked.rate(tag::CLOCK_RATE).and_then(|rate| rate.try_into().ok())
}

/// Sets the cores' clock to its maximum, so that it does not change with the load.
pub fn fix_clock(tree: &Tree<'_>) {
    if tree.mailbox.is_none() {
        return;
    }
    let most = mailbox::call(Message::clock(tag::MAX_CLOCK_RATE, clock::ARM))
        .and_then(|answer| answer.rate(tag::MAX_CLOCK_RATE));
    let Some(most) = most else { return log::warn!("the firmware does not say how fast the cores can be") };
    let order = Message::of(&[(tag::SET_CLOCK_RATE, &[clock::ARM, most as u32, 0])]);
    let set = mailbox::call(order).and_then(|answer| answer.answer(tag::SET_CLOCK_RATE));
    match set {
        Some([_, rate]) => log::info!("the cores' clock is {rate} Hz, of {most} at most"),
        None => log::warn!("the firmware does not set the cores' clock to {most} Hz"),
    }
}
