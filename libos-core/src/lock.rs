//! A lock between environments that share a page: whoever finds it taken waits, and is woken when its turn has come, in the order of
//! coming. Who waits knows for whom, so it can lend its tickets.
//!
//! A queue lock (Craig, *Building FIFO and Priority-Queuing Spin Locks from Atomic Swap*, TR 93-02-02, University of Washington, 1993):
//! each member puts a node of its own at the end of the line and waits for the node before it, whose owner it thereby knows. So, if
//! everybody lends to the one before it in the line, who holds the lock has what all have lent. When a member leaves, the
//! node before its own is nobody's any more, and its next one.
//!
//! Not here: how a member waits and is woken ([`Signals`]), and who gets the CPU. Members trust one another: any of them can write to
//! the page. None can thereby reach beyond it. A member that ends while it holds the lock keeps it.

use crate::frames::Frames;
use crate::mapping::{self, Space};
use crate::start::StartInfo;
use crate::{layout, page};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Capability, Error, Frame, Protection};

/// Members of a lock at most.
pub const MAX_MEMBERS: usize = 64;

/// A node's owner is not in the lock. A page of zeros is a new lock, at the end of whose line is such a node.
const LEFT: u64 = 0;
/// It is, or waits for it.
const IN_LINE: u64 = 1;
/// So is or does it, and the member with this number, less this, waits for it.
const AWAITED: u64 = 2;

/// What is in the page.
#[repr(C)]
pub struct Page {
    /// The node at the end of the line.
    last: AtomicU64,
    /// Written by whoever holds the lock, and by nobody else.
    guarded: AtomicU64,
    nodes: [Node; MAX_MEMBERS + 1],
    members: [Known; MAX_MEMBERS],
}

const _: () = assert!(size_of::<Page>() <= PAGE_SIZE as usize);

/// A place in the line.
#[repr(C)]
struct Node {
    /// The member whose it is.
    owner: AtomicU64,
    /// [`LEFT`], [`IN_LINE`], or who waits.
    word: AtomicU64,
}

/// A member as the others know it.
#[repr(C)]
struct Known {
    /// The capability by which it is woken.
    body: AtomicU64,
    mac: AtomicU64,
    /// Its number among the clients of its scheduler.
    client: AtomicU64,
}

impl Page {
    /// The page at an address.
    ///
    /// # Safety
    /// A whole page is mapped there, readable and writable, for as long as it is used, and nobody accesses it but through this.
    pub unsafe fn at(address: u64) -> &'static Self {
        // SAFETY: The caller vouches for the range; every field is atomic, and all bit patterns are values.
        unsafe { &*core::ptr::with_exposed_provenance(address as usize) }
    }

    /// A new lock on the host, for tests.
    #[cfg(not(target_os = "none"))]
    pub fn leaked() -> &'static Self {
        // SAFETY: Atomics and arrays of them; all zero is a value of each.
        alloc::boxed::Box::leak(unsafe { alloc::boxed::Box::<Self>::new_zeroed().assume_init() })
    }

    /// The page that this environment's creator shares with it, if it does.
    pub fn of(info: &StartInfo) -> Option<&'static Self> {
        // SAFETY: The creator has mapped it there for as long as this environment lives, and whoever uses it does so as a lock.
        (info.shared > 0).then(|| unsafe { Self::at(layout::SHARED_BASE) })
    }

    /// Makes a member known to the others: how it is woken, and its number among its scheduler's clients.
    pub fn introduce(&self, member: usize, capability: Capability, client: u64) {
        let Some(known) = self.members.get(member) else { return };
        known.body.store(capability.body, Relaxed);
        known.mac.store(capability.mac, Relaxed);
        known.client.store(client, Relaxed);
    }

    /// How a member is woken. Whatever is written there, the kernel takes no capability that it has not made.
    pub fn capability(&self, member: usize) -> Capability {
        let known = self.members.get(member);
        let read = |word: fn(&Known) -> &AtomicU64| known.map_or(0, |known| word(known).load(Relaxed));
        Capability { body: read(|known| &known.body), mac: read(|known| &known.mac) }
    }

    /// A member's number among its scheduler's clients.
    pub fn client(&self, member: usize) -> u64 {
        self.members.get(member).map_or(0, |known| known.client.load(Relaxed))
    }

    /// What only the holder writes: for it to see that nobody else has.
    pub fn guarded(&self) -> &AtomicU64 {
        &self.guarded
    }

    /// A node, whatever number somebody has written.
    fn node(&self, number: u64) -> &Node {
        &self.nodes[number as usize % self.nodes.len()]
    }
}

/// Makes a lock in a free frame, which its creator shares with the members, and has itself. The running activation makes one of each
/// number, below [`layout::MAX_SHARED`]. Errors as of [`Space::map`], or `NoTable` if no frame is free.
pub fn make(frames: &mut Frames, number: u64) -> Result<(Frame, &'static Page), Error> {
    let run = frames.take(1).ok_or(Error::NoTable)?;
    let mut table = || frames.take(1).map(|run| run.first);
    mapping::fill(run, &[], &mut table)?;
    let address = layout::SHARED_BASE + (page::index() * layout::MAX_SHARED + number) * PAGE_SIZE;
    Space { env: HANDLE_SELF, table: &mut table }.map(Address(address), run, Protection::ReadWrite)?;
    // SAFETY: Just mapped and zeroed, and never unmapped; its members and this activation use it as a lock.
    Ok((run.first, unsafe { Page::at(address) }))
}

/// How a member waits and wakes.
pub trait Signals {
    /// Waits until it is woken, or for a shorter time; it waits for `holder`, or for somebody that waits for it.
    fn wait_for(&mut self, holder: usize);
    /// Ends a member's wait, also one that is about to begin.
    fn wake(&mut self, member: usize);
}

/// A member's side.
pub struct Member {
    number: usize,
    /// Its node: free, but while it is in the line.
    node: u64,
    /// The node before its own: its next one.
    before: u64,
}

impl Member {
    /// The member of this number, below [`MAX_MEMBERS`], of a page of which it is not a member yet.
    pub fn new(number: usize) -> Self {
        Self { number, node: number as u64 + 1, before: 0 }
    }

    /// Takes the lock, waiting for it if need be.
    pub fn acquire(&mut self, page: &Page, signals: &mut impl Signals) {
        let own = page.node(self.node);
        own.owner.store(self.number as u64, SeqCst);
        own.word.store(IN_LINE, SeqCst);
        self.before = page.last.swap(self.node, SeqCst);
        let before = page.node(self.before);
        let awaited = AWAITED + self.number as u64;
        if before.word.compare_exchange(IN_LINE, awaited, SeqCst, SeqCst).is_ok() {
            let holder = before.owner.load(SeqCst) as usize;
            while before.word.load(SeqCst) != LEFT {
                signals.wait_for(holder);
            }
        }
    }

    /// Gives it to whoever waits for this member, or back.
    pub fn release(&mut self, page: &Page, signals: &mut impl Signals) {
        if let Some(next) = page.node(self.node).word.swap(LEFT, SeqCst).checked_sub(AWAITED) {
            signals.wake(next as usize);
        }
        self.node = self.before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use std::sync::{Arc, Barrier, Mutex};
    use std::thread::{self, Thread};

    /// Notes who waits for whom and who is woken, and grants the lock when the wait is asked for the second time.
    struct Noted<'a> {
        page: &'a Page,
        waits_for: Vec<usize>,
        woken: Vec<usize>,
    }

    impl Signals for Noted<'_> {
        fn wait_for(&mut self, holder: usize) {
            self.waits_for.push(holder);
            if self.waits_for.len() == 2 {
                let waited_for = self.page.nodes.iter().find(|node| node.word.load(SeqCst) >= AWAITED);
                waited_for.unwrap().word.store(LEFT, SeqCst);
            }
        }
        fn wake(&mut self, member: usize) {
            self.woken.push(member);
        }
    }

    #[test]
    fn who_finds_it_taken_waits_for_whoever_came_before_it_and_is_woken_by_that_one() {
        let page = Page::leaked();
        let mut signals = Noted { page, waits_for: Vec::new(), woken: Vec::new() };
        let (mut a, mut b) = (Member::new(3), Member::new(5));
        a.acquire(page, &mut signals);
        a.release(page, &mut signals);
        a.acquire(page, &mut signals);
        assert_eq!((signals.waits_for.len(), signals.woken.len()), (0, 0));
        b.acquire(page, &mut signals);
        assert_eq!(signals.waits_for, [3, 3], "it looks again until its turn has come");
        b.release(page, &mut signals);
        assert_eq!(signals.woken.len(), 0, "nobody waits for it");
    }

    #[test]
    fn a_release_wakes_the_next_in_the_line() {
        let page = Page::leaked();
        let mut signals = Noted { page, waits_for: Vec::new(), woken: Vec::new() };
        let mut a = Member::new(0);
        a.acquire(page, &mut signals);
        page.node(1).word.store(AWAITED + 7, SeqCst);
        a.release(page, &mut signals);
        assert_eq!((&signals.woken[..], a.node), (&[7][..], 0));
    }

    #[test]
    fn whatever_is_written_into_the_page_names_a_node_or_nobody() {
        let page = Page::leaked();
        page.last.store(u64::MAX, SeqCst);
        let mut signals = Noted { page, waits_for: Vec::new(), woken: Vec::new() };
        let mut a = Member::new(1);
        a.acquire(page, &mut signals);
        a.release(page, &mut signals);
        a.acquire(page, &mut signals);
        assert_eq!(page.capability(usize::MAX), Capability { body: 0, mac: 0 });
        assert_eq!(page.client(1 << 40), 0);
        page.introduce(1 << 40, Capability { body: 1, mac: 1 }, 1);
    }

    /// A thread parks; of who is unparked before, the next park returns at once, as the kernel's wait does with an event.
    struct Threads(Arc<Mutex<Vec<Thread>>>);

    impl Signals for Threads {
        fn wait_for(&mut self, _holder: usize) {
            thread::park();
        }
        fn wake(&mut self, member: usize) {
            self.0.lock().unwrap()[member].unpark();
        }
    }

    #[test]
    fn it_is_held_by_one_at_a_time_and_nobody_is_forgotten() {
        const THREADS: usize = 4;
        let page = Page::leaked();
        let (all, ready) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Barrier::new(THREADS)));
        for _ in 0..THREADS {
            all.lock().unwrap().push(thread::current());
        }
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (all, ready) = (all.clone(), ready.clone());
                thread::spawn(move || {
                    all.lock().unwrap()[number] = thread::current();
                    ready.wait();
                    let (mut member, mut signals) = (Member::new(number), Threads(all));
                    for round in 0..2_000 {
                        member.acquire(page, &mut signals);
                        let seen = page.guarded().load(Relaxed);
                        if round % 7 == 0 {
                            thread::yield_now();
                        }
                        page.guarded().store(seen + 1, Relaxed);
                        member.release(page, &mut signals);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(page.guarded().load(Relaxed), 2_000 * THREADS as u64);
    }
}
