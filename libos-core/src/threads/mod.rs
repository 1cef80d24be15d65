//! User-level threads on the upcalls: several activations share them, and none keeps one while it has no CPU.
//!
//! Not here: preemption of activations, which is the kernel's and the schedulers'. From the outside in:
//! * this module is what programs use: [`run`], [`carry`], [`spawn`], [`park`] and [`Thread::wake`], [`sleep_until`];
//! * [`sync`] blocks: a mutex, a channel;
//! * `dispatch` is the loop of each activation; `pool` and `word` say which thread is ready and who may run it;
//! * [`carrier`] knows which activation carries a thread; `switch` saves and loads contexts.
//!
//! A thread that blocks gives its activation to another thread. A thread that is interrupted is put back into the pool by
//! the upcall, before the CPU is gone (end of a slice) or after (by the activation itself, or on a sibling's time).
//! `docs/threads.md` tells the story. What concerns the activation itself (`calls::wait`, a window for mapping, a call to
//! another environment) is done by a thread only while it is [`pinned`].
#![deny(unsafe_code)]

pub mod carrier;
mod dispatch;
mod pool;
mod switch;
pub mod sync;
mod word;

pub use dispatch::help_siblings;

use self::switch::Left;
use crate::critical::Lock;
use crate::frames::Frames;
use crate::layout::{self, MAX_THREADS};
use crate::mapping::Space;
use crate::page;
use crate::transfer::{self, Message};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::AcqRel;
use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
use tranche_abi::{Address, Error, Gate, Protection, Tick};

/// Pages of each thread's stack. The page beneath is not mapped: an overflow is a fault.
pub const STACK_PAGES: u64 = 8;

/// What an activation's dispatcher counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Threads that let others run.
    pub yields: AtomicU64,
    /// Threads that blocked, or meant to.
    pub blocks: AtomicU64,
    /// Threads that ended.
    pub ends: AtomicU64,
    /// Threads put back before the CPU was gone, because the slice ended.
    pub slice_ends: AtomicU64,
    /// Threads put back after the CPU was lost and came back.
    pub interruptions: AtomicU64,
    /// Times that time was lent to a sibling with a thread in hand.
    pub lent: AtomicU64,
    /// Of these, those after which it had put its thread back.
    pub rescues: AtomicU64,
    /// Times that there was nothing to run.
    pub waits: AtomicU64,
}

impl Counters {
    const fn new() -> Self {
        Self {
            yields: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
            ends: AtomicU64::new(0),
            slice_ends: AtomicU64::new(0),
            interruptions: AtomicU64::new(0),
            lent: AtomicU64::new(0),
            rescues: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }
    }
}

/// What an activation's dispatcher counted; `None` for an index that no activation has.
pub fn counters(activation: u64) -> Option<&'static Counters> {
    dispatch::counters(activation)
}

/// A thread, to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(usize);

impl Thread {
    /// Lets it go on if it parks, or the next time that it wants to. Whoever parks looks again why.
    pub fn wake(self) {
        dispatch::wake(self.0);
    }
}

type Body = Box<dyn FnOnce() + Send>;

/// What threads that did not begin yet are to do.
static BODIES: [Lock<Option<Body>>; MAX_THREADS] = [const { Lock::new(None) }; MAX_THREADS];
/// Where stacks come from, and which are mapped.
static STACKS: sync::Mutex<Stacks> = sync::Mutex::new(Stacks { frames: None, mapped: 0 });

struct Stacks {
    frames: Option<Frames>,
    /// Bit `n`: thread `n` has a stack. They are kept for later threads.
    mapped: u64,
}

const _: () = assert!(MAX_THREADS <= 64, "a bit for each in a word");
const _: () = assert!(STACK_PAGES * PAGE_SIZE < layout::THREAD_STRIDE, "a page of each stride guards");

impl Stacks {
    fn map(&mut self, thread: usize) -> Result<(), Error> {
        if self.mapped >> thread & 1 == 1 {
            return Ok(());
        }
        let frames = self.frames.as_mut().ok_or(Error::Absent)?;
        let run = frames.take(STACK_PAGES).ok_or(Error::Full)?;
        let mut table = || frames.take(1).map(|run| run.first);
        let address = Address(layout::thread_stack_top(thread) - STACK_PAGES * PAGE_SIZE);
        Space { env: HANDLE_SELF, table: &mut table }.map(address, run, Protection::ReadWrite)?;
        self.mapped |= 1 << thread;
        Ok(())
    }
}

/// Makes threads possible, begins the first, and carries threads on this activation until all are over. Stacks are made of
/// `frames`, the caller's own. Once in the life of a program. Errors: as of [`spawn`].
pub fn run(frames: Frames, first: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    STACKS.lock().frames = Some(frames);
    dispatch::POOL.lock().begin();
    begin(Box::new(first))?;
    dispatch::dispatch();
    Ok(())
}

/// Carries threads on this activation too, until all are over. It may begin before [`run`] does.
pub fn carry() {
    dispatch::dispatch();
}

/// Begins a thread. Errors: `Full` if there are too many or frames for its stack are lacking; what mapping says.
fn begin(body: Body) -> Result<Thread, Error> {
    let mut stacks = STACKS.lock();
    let number = dispatch::POOL.lock().take_number().ok_or(Error::Full)?;
    if let Err(error) = stacks.map(number) {
        dispatch::end(number);
        return Err(error);
    }
    drop(stacks);
    *BODIES[number].lock() = Some(body);
    switch::prepare(number, begin_thread);
    dispatch::WORDS[number].begin();
    dispatch::put(number);
    Ok(Thread(number))
}

/// Where every thread begins, on its own stack.
extern "C" fn begin_thread() -> ! {
    // It was switched to as if it had left.
    let body = carrier::current().and_then(|thread| BODIES[thread].lock().take());
    if let Some(body) = body {
        body();
    }
    loop {
        dispatch::leave(Left::Ended);
    }
}

/// A thread's result.
struct Packet<T> {
    result: Option<T>,
    joiner: Option<Thread>,
}

/// To wait for a thread.
pub struct JoinHandle<T>(Arc<Lock<Packet<T>>>);

impl<T> JoinHandle<T> {
    /// Waits until the thread is over: its result. From a thread only.
    pub fn join(self) -> T {
        loop {
            {
                let mut packet = self.0.lock();
                if let Some(result) = packet.result.take() {
                    return result;
                }
                packet.joiner = current();
            }
            park();
        }
    }
}

/// Begins a thread. Errors: `Full` if there are too many or frames for its stack are lacking; what mapping says.
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    let packet = Arc::new(Lock::new(Packet { result: None, joiner: None }));
    let own = packet.clone();
    begin(Box::new(move || {
        let result = body();
        let joiner = {
            let mut packet = own.lock();
            packet.result = Some(result);
            packet.joiner.take()
        };
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }))?;
    Ok(JoinHandle(packet))
}

/// The thread that runs this code; `None` if an activation does so by itself.
pub fn current() -> Option<Thread> {
    carrier::current().map(Thread)
}

/// Lets other threads run.
pub fn yield_now() {
    dispatch::leave(Left::Yielded);
}

/// Waits until somebody wakes this thread; at once if somebody did since it last waited, or for no reason at all.
pub fn park() {
    dispatch::leave(Left::Parked);
}

/// Waits until a time. The activation runs other threads meanwhile.
pub fn sleep_until(time: Tick) {
    while let Some(Thread(number)) = current()
        && page::now() < time
    {
        dispatch::POOL.lock().sleep(number, time);
        park();
    }
}

/// The slice ended while this thread was in a critical section: others carry it on.
pub(crate) fn end_slice() {
    dispatch::leave(Left::SliceEnd);
}

/// Does something during which the thread stays with its activation. Interrupted meanwhile it waits for that activation.
pub fn pinned<R>(action: impl FnOnce() -> R) -> R {
    carrier::pin();
    let result = action();
    carrier::unpin();
    result
}

/// Calls another environment as [`transfer::call`]. While its server has another caller, other threads run.
pub fn call(gate: Gate, message: &mut Message) -> Result<(), Error> {
    loop {
        match pinned(|| transfer::call(gate, message)) {
            Err(Error::Busy) if current().is_some() => yield_now(),
            result => return result,
        }
    }
}

/// Takes the events that came for the program while its activations carried threads.
pub fn take_events() -> u64 {
    dispatch::EVENTS.swap(0, AcqRel)
}
