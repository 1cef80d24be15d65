//! New environments out of programs: plan, creation, start, and the way back of every frame.
//!
//! Not here: the checks of a program's file (`image`), what it is told (`start`), when it runs (slots, schedulers).
//!
//! A child owns every frame that it was made of, but for its mailbox, which stays its creator's. All go back to the
//! creator when it is destroyed, those of the environments that it created included.

use crate::archive::Archive;
use crate::frames::{Frames, Run};
use crate::image::{Image, ImageError};
use crate::mailbox::{Mailbox, Reader, pages_for};
use crate::mapping::{self, Space};
use crate::start::{self, StartInfo};
use crate::{calls, layout, trace};
use alloc::string::String;
use alloc::vec::Vec;
use tranche_abi::layout::{ENV_FRAMES, HANDLE_SELF, MAX_ACTIVATIONS, MAX_BATCH, PAGE_SIZE};
use tranche_abi::{
    ActivationIndex, Address, Capability, Error, Frame, Handle, Kind, Object, Protection, Rights, Target,
};

/// Why an environment could not be made. Everything that was taken for it is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// The archive has no such program.
    NoProgram,
    /// The program's file is malformed.
    Image(ImageError),
    /// The plan asks for more activations, stack or mailbox than there can be, or for none.
    BadPlan,
    /// Not enough free frames, or not enough consecutive ones.
    NoFrames,
    /// The kernel refused a step.
    Kernel(Error),
}

impl From<Error> for SpawnError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

/// Who is told when a child's activations become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manager {
    /// The activation that is told.
    pub target: Target,
    /// The client number of the child's activation 0; activation `i` is this plus `i`.
    pub client: u64,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct SpawnPlan<'a> {
    /// The program's file name in the archive.
    pub program: &'a str,
    /// The name under which the child reports.
    pub name: &'a str,
    /// Activations, all of which enter the program.
    pub activations: u64,
    /// Pages of each activation's stack.
    pub stack_pages: u64,
    /// Pages of the heap.
    pub heap_pages: u64,
    /// Unread bytes that the mailbox has room for at least.
    pub mailbox_bytes: u64,
    /// Consecutive frames that the child owns besides, to use as it likes.
    pub frames: u64,
    /// A frame of its creator's that is mapped in it too, at [`layout::SHARED_BASE`].
    pub shared: Option<Frame>,
    /// What it is to do, encoded.
    pub arguments: Vec<u8>,
    /// Who is told of its readiness.
    pub manager: Option<Manager>,
    /// With what it may make marks.
    pub trace: Option<Capability>,
}

impl<'a> SpawnPlan<'a> {
    /// A small program of one activation, called as its file, that may make marks if its creator may.
    pub fn new(program: &'a str) -> Self {
        Self {
            program,
            name: program,
            activations: 1,
            stack_pages: 8,
            heap_pages: 64,
            mailbox_bytes: 3 * 1024,
            frames: 0,
            shared: None,
            arguments: Vec::new(),
            manager: None,
            trace: trace::capability(),
        }
    }

    fn mailbox_pages(&self) -> u64 {
        pages_for(self.mailbox_bytes)
    }

    fn check(&self) -> Result<(), SpawnError> {
        let possible = (1..=MAX_ACTIVATIONS as u64).contains(&self.activations)
            && (1..=layout::MAX_STACK_PAGES).contains(&self.stack_pages)
            && self.mailbox_pages() <= MAX_BATCH
            && self.heap_pages >= 1;
        if possible { Ok(()) } else { Err(SpawnError::BadPlan) }
    }
}

/// An environment that was made here.
pub struct Child {
    /// The name under which it reports.
    pub name: String,
    /// The handle to it, with all rights.
    pub handle: Handle,
    /// Its index.
    pub index: u64,
    /// What it writes. Its statistics are at the beginning.
    pub reader: Reader<'static>,
    entry: Address,
    activations: u64,
    mailbox: Run,
    /// What was given to it.
    given: Vec<Run>,
}

/// Makes and starts an environment. It runs as soon as somebody gives it the CPU.
pub fn spawn(frames: &mut Frames, archive: &Archive<'_>, plan: &SpawnPlan<'_>) -> Result<Child, SpawnError> {
    let child = create(frames, archive, plan)?;
    match child.start() {
        Ok(()) => Ok(child),
        Err(error) => {
            // The kernel refused to start what it created; that it also refuses to destroy it changes nothing.
            let _ = child.destroy(frames);
            Err(error.into())
        }
    }
}

/// Makes an environment that does not run yet: for who wants to give it slots or tell others of it first.
pub fn create(frames: &mut Frames, archive: &Archive<'_>, plan: &SpawnPlan<'_>) -> Result<Child, SpawnError> {
    plan.check()?;
    let file = archive.file(plan.program).ok_or(SpawnError::NoProgram)?;
    let image = Image::parse(file).map_err(SpawnError::Image)?;
    let mut builder = Builder::begin(frames, plan, image.entry)?;
    match builder.build(plan, &image) {
        Ok(()) => Ok(builder.child),
        Err(error) => {
            let Builder { frames, child } = builder;
            let _ = child.destroy(frames);
            Err(error)
        }
    }
}

/// An environment in the making.
struct Builder<'f> {
    frames: &'f mut Frames,
    child: Child,
}

impl<'f> Builder<'f> {
    fn begin(frames: &'f mut Frames, plan: &SpawnPlan<'_>, entry: Address) -> Result<Self, SpawnError> {
        let mailbox = frames.take(plan.mailbox_pages()).ok_or(SpawnError::NoFrames)?;
        let state = frames.take(ENV_FRAMES);
        let made = state.ok_or(SpawnError::NoFrames).and_then(|run| Ok(calls::env_create(run.first)?));
        let (handle, index) = match made {
            Ok(made) => made,
            Err(error) => {
                state.into_iter().chain([mailbox]).for_each(|run| frames.put(run));
                return Err(error);
            }
        };
        match open_mailbox(frames, mailbox, index) {
            Ok(view) => {
                let child = Child {
                    name: plan.name.into(),
                    handle,
                    index,
                    reader: Reader::new(view),
                    entry,
                    activations: plan.activations,
                    mailbox,
                    given: Vec::from_iter(state),
                };
                Ok(Self { frames, child })
            }
            Err(error) => {
                let _ = take_back(handle, state.as_slice(), frames);
                let _ = mapping::unmap(HANDLE_SELF, window(index), mailbox.count);
                frames.put(mailbox);
                Err(error.into())
            }
        }
    }

    fn build(&mut self, plan: &SpawnPlan<'_>, image: &Image<'_>) -> Result<(), SpawnError> {
        for segment in &image.segments {
            self.place(segment.address, segment.pages, segment.protection, segment.bytes)?;
        }
        self.place(Address(layout::HEAP_BASE), plan.heap_pages, Protection::ReadWrite, &[])?;
        for activation in 0..plan.activations {
            self.activation(activation, plan)?;
        }
        self.map(Address(layout::MAILBOX_BASE), self.child.mailbox, Protection::ReadWrite)?;
        if let Some(first) = plan.shared {
            self.map(Address(layout::SHARED_BASE), Run { first, count: 1 }, Protection::ReadWrite)?;
        }
        let own = match plan.frames {
            0 => Run { first: Frame(0), count: 0 },
            count => self.take(count)?,
        };
        self.give(own)?;
        let info = StartInfo {
            name: plan.name.into(),
            activations: plan.activations,
            first_frame: own.first.0,
            frames: own.count,
            shared: plan.shared.map_or(0, |_| 1),
            trace: plan.trace.map_or([0; 2], |capability| [capability.body, capability.mac]),
            arguments: plan.arguments.clone(),
        };
        let contents =
            start::encode(&info, plan.heap_pages * PAGE_SIZE, self.child.mailbox.count * PAGE_SIZE)
                .map_err(|_| SpawnError::BadPlan)?;
        self.place(Address(layout::START_BASE), start::pages(&contents), Protection::Read, &contents)
    }

    /// Makes an activation with its stacks.
    fn activation(&mut self, activation: u64, plan: &SpawnPlan<'_>) -> Result<(), SpawnError> {
        let page = self.take(1)?;
        let target = self.child.target(activation);
        let address = Address(layout::page_address(activation));
        let create = || calls::activation_create(target, page.first);
        let made = self.with_space(|space| space.with_tables(address, create));
        // From here on the frame is the child's, or else still ours.
        match made {
            Ok(()) => self.child.given.push(page),
            Err(_) => self.frames.put(page),
        }
        made?;
        for (top, pages) in [
            (layout::stack_top(activation), plan.stack_pages),
            (layout::upcall_stack_top(activation), layout::UPCALL_PAGES),
            (layout::fault_stack_top(activation), layout::FAULT_PAGES),
        ] {
            self.place(Address(top - pages * PAGE_SIZE), pages, Protection::ReadWrite, &[])?;
        }
        match plan.manager {
            Some(Manager { target: manager, client }) => {
                Ok(calls::set_manager(target, manager, client + activation)?)
            }
            None => Ok(()),
        }
    }

    /// Fills fresh frames, maps them in the child and gives them to it.
    fn place(
        &mut self,
        address: Address,
        pages: u64,
        protection: Protection,
        contents: &[u8],
    ) -> Result<(), SpawnError> {
        // Long segments in pieces, so that scattered free frames serve as well as consecutive ones.
        for (offset, piece) in (Run { first: Frame(0), count: pages }).pieces(MAX_BATCH) {
            let run = self.take(piece.count)?;
            let begin = contents.len().min((offset * PAGE_SIZE) as usize);
            let end = contents.len().min(((offset + piece.count) * PAGE_SIZE) as usize);
            let frames = &mut *self.frames;
            let mut table = || frames.take(1).map(|run| run.first);
            let placed = mapping::fill(run, &contents[begin..end], &mut table)
                .and_then(|()| self.map(Address(address.0 + offset * PAGE_SIZE), run, protection));
            match placed {
                Ok(()) => self.give(run)?,
                Err(error) => {
                    self.frames.put(run);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, run: Run) -> Result<(), SpawnError> {
        // Noted first: what was not given after all is found to be still ours when the child is taken apart.
        self.child.given.push(run);
        Ok(mapping::give(run, self.child.handle)?)
    }

    fn take(&mut self, count: u64) -> Result<Run, SpawnError> {
        self.frames.take(count).ok_or(SpawnError::NoFrames)
    }

    fn map(&mut self, address: Address, run: Run, protection: Protection) -> Result<(), Error> {
        self.with_space(|space| space.map(address, run, protection))
    }

    /// The child's address space; frames that become its tables are noted as given.
    fn with_space<R>(&mut self, action: impl FnOnce(&mut Space<'_>) -> R) -> R {
        let (frames, given) = (&mut *self.frames, &mut self.child.given);
        let mut table = || {
            let run = frames.take(1)?;
            given.push(run);
            Some(run.first)
        };
        action(&mut Space { env: self.child.handle, table: &mut table })
    }
}

impl Child {
    /// One of its activations.
    pub fn target(&self, activation: u64) -> Target {
        Target::new(self.handle, ActivationIndex(activation))
    }

    /// Its activations.
    pub fn activations(&self) -> u64 {
        self.activations
    }

    /// The frame in which its mailbox begins, with its statistics.
    pub fn statistics_frame(&self) -> Frame {
        self.mailbox.first
    }

    /// Its mailbox.
    pub fn mailbox(&self) -> Mailbox<'static> {
        self.reader.mailbox()
    }

    /// Starts all its activations.
    pub fn start(&self) -> Result<(), Error> {
        (0..self.activations).try_for_each(|activation| {
            let stack = Address(layout::stack_top(activation));
            calls::activation_start(self.target(activation), self.entry, stack, layout::START_BASE)
        })
    }

    /// Gives it more frames, which come back with the others.
    pub fn give(&mut self, run: Run) -> Result<(), Error> {
        self.given.push(run);
        mapping::give(run, self.handle)
    }

    /// Ends it and puts every frame that it was given back into `frames`. Ends it also if the kernel did so before.
    pub fn destroy(self, frames: &mut Frames) -> Result<(), Error> {
        let result = take_back(self.handle, &self.given, frames);
        mapping::unmap(HANDLE_SELF, window(self.index), self.mailbox.count)?;
        frames.put(self.mailbox);
        result
    }
}

/// Where this environment sees the mailbox of the child with that index.
pub(crate) fn window(index: u64) -> Address {
    Address(layout::WINDOW_BASE + index * layout::WINDOW_STRIDE)
}

/// Empties a mailbox and maps it for reading and writing.
fn open_mailbox(frames: &mut Frames, run: Run, index: u64) -> Result<Mailbox<'static>, Error> {
    let mut table = || frames.take(1).map(|run| run.first);
    mapping::fill(run, &[], &mut table)?;
    Space { env: HANDLE_SELF, table: &mut table }.map(window(index), run, Protection::ReadWrite)?;
    // SAFETY: Just mapped and zeroed, whole pages, and mapped until the child is destroyed; only mailboxes are made of
    // this window. A creator that keeps a copy of a destroyed child's mailbox faults.
    Ok(unsafe { Mailbox::at(window(index).0, run.count * PAGE_SIZE) })
}

/// Destroys an environment, reclaims all that it owned, and puts back those of `given` that came to us.
fn take_back(handle: Handle, given: &[Run], frames: &mut Frames) -> Result<(), Error> {
    // Refused if the kernel ended it already; then there is only the reclaiming left.
    let _ = calls::env_destroy(handle);
    loop {
        match calls::env_reclaim(handle) {
            // One of its activations may still be on its way out of another core.
            Err(Error::Again) => {}
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    for frame in given.iter().flat_map(|run| run.first.0..run.end()) {
        // A frame that the child gave away to somebody who still has it is not ours.
        let object = Object { kind: Kind::Frame, index: frame as u32 };
        if calls::grant(object, Rights::READ).is_ok() {
            frames.put(Run { first: Frame(frame), count: 1 });
        }
    }
    Ok(())
}

/// Maps the stacks of one of the caller's own activations.
#[cfg(target_os = "none")]
pub(crate) fn map_stacks(frames: &mut Frames, activation: u64, stack_pages: u64) -> Result<(), SpawnError> {
    for (top, pages) in [
        (layout::stack_top(activation), stack_pages),
        (layout::upcall_stack_top(activation), layout::UPCALL_PAGES),
        (layout::fault_stack_top(activation), layout::FAULT_PAGES),
    ] {
        let run = frames.take(pages).ok_or(SpawnError::NoFrames)?;
        let mut table = || frames.take(1).map(|run| run.first);
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        space.map(Address(top - pages * PAGE_SIZE), run, Protection::ReadWrite)?;
    }
    Ok(())
}
