//! What a child says, passed on by its creator to its own, so that in the end it leaves the machine.
//!
//! Not here: what is said (`libos_core::report`).
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use libos_core::report::{Decoder, Entrusted, Heard, Record};
use libos_core::spawn::Child;
use libos_core::{output, say};

/// What a child says to its creator alone.
pub enum News {
    /// It made an environment.
    Env {
        /// The environment's index.
        index: u64,
        /// The environment's name, with the child's before it.
        name: String,
    },
    /// What an heir of its needs.
    Entrusted(Entrusted),
}

/// Listens to one child.
#[derive(Default)]
pub struct Relay {
    decoder: Decoder,
}

impl Relay {
    /// Reads what the child `name` wrote, and passes it on, but for what is news to its creator.
    pub fn listen(&mut self, name: &str, child: &mut Child, mut hear: impl FnMut(News)) {
        let mut bytes = Vec::new();
        child.reader.read(&mut bytes);
        for heard in self.decoder.feed(&bytes) {
            match heard {
                Heard::Record { record: Record::Env { index, name: inner }, .. } => {
                    hear(News::Env { index, name: alloc::format!("{name}/{inner}") });
                }
                Heard::Record { record: Record::Entrusted(one), .. } => hear(News::Entrusted(one)),
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
