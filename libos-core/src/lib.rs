//! The EL0 runtime that every libOS is built on.
//!
//! From the outside in:
//! * [`entry`] (with [`program!`]) starts a program as its [`start`] page says; [`layout`] has where things are.
//! * [`calls`] are the system calls with types; [`page`] and [`public`] what can be seen without one.
//! * [`upcall`] and [`critical`]: slices and faults as the program itself takes them. [`transfer`]: calls between environments, [`lock`]: a lock
//!   between them.
//! * [`threads`]: user-level threads that several activations carry, and none keeps while it has no CPU.
//! * [`heap`], [`output`], [`mailbox`], [`stats`]: memory to use, and what a program tells its creator.
//! * [`spawn`] makes environments, out of an [`image`] in the boot [`archive`] and free [`frames`], by [`mapping`].
//!   [`adopt`]: takes over those that somebody else made.
//! * [`disk`]: an extent of the disk, page by page. [`card`]: a file on a card that keeps what a run found out, whatever becomes of the power.
//! * [`vm`]: virtual memory of one's own, over frames that may be asked back.
//! * [`scenario`]: what a run is made of. [`jobs`]: when a client's jobs come and what they need, by seeded [`chance`].
//!   [`report`]: what a run tells the host.
//! * [`sched`]: the `Policy` trait and the dispatch loop that any scheduler libOS uses, on a [`processor`].
//!
//! Everything builds on the host too, where every call is refused. Lock order: an allocation may happen under any
//! [`critical::Lock`], so the heap's is taken last.

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod adopt;
pub mod archive;
pub mod calls;
pub mod card;
pub mod chance;
pub mod critical;
pub mod disk;
pub mod entry;
pub mod frames;
pub mod heap;
pub mod image;
pub mod jobs;
pub mod layout;
pub mod lock;
pub mod mailbox;
pub mod mapping;
pub mod output;
pub mod page;
#[cfg(target_os = "none")]
mod panic;
pub mod processor;
pub mod public;
pub mod report;
pub mod scenario;
pub mod sched;
pub mod spawn;
pub mod start;
pub mod stats;
pub mod sys;
pub mod threads;
pub mod trace;
pub mod transfer;
pub mod upcall;
pub mod vm;
