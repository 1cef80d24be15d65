//! What a child says, passed on by its creator to its own, so that in the end it leaves the machine.
//!
//! Not here: what is said (`libos_core::report`).
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use libos_core::report::{Decoder, Heard, Record};
use libos_core::spawn::Child;
use libos_core::{output, say};

/// Listens to one child.
#[derive(Default)]
pub struct Relay {
    decoder: Decoder,
}

impl Relay {
    /// Reads what the child `name` wrote, and passes it on; names of environments that it made are noted, with its own before them.
    pub fn listen(&mut self, name: &str, child: &mut Child, mut note: impl FnMut(u64, String)) {
        let mut bytes = Vec::new();
        child.reader.read(&mut bytes);
        for heard in self.decoder.feed(&bytes) {
            match heard {
                Heard::Record { record: Record::Env { index, name: inner }, .. } => {
                    note(index, alloc::format!("{name}/{inner}"));
                }
                Heard::Record { record, .. } => output::report(&record),
                Heard::Text(text) => {
                    let text = String::from_utf8_lossy(&text);
                    output::report(&Record::Log { text: alloc::format!("{name}: {}", text.trim_end()) });
                }
                Heard::Lost { from, to } => say!("records {from} to {to} of {name} are lost"),
                Heard::Trace { .. } => {
                    say!("{name} says what is the tracer's to say; it is not passed on");
                }
                Heard::Damaged { damage, .. } => say!("a record of {name} is damaged: {damage:?}"),
            }
        }
    }
}
