//! The system calls used here, by Linux's names for them. Not here: how they are made (`call`), nor those for memory
//! (`region`).

use crate::call::{Call, Errno};
use core::ffi::CStr;
use linux_raw_sys::general as linux;
use linux_raw_sys::system::new_utsname;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub usize);

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(pub usize);

/// The console, which Linux opens for the first process.
pub const CONSOLE: File = File(1);

/// `struct timespec`: seconds and nanoseconds.
pub type Time = [i64; 2];

/// In a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// A call without arguments, or with such as are no addresses.
macro_rules! plain {
    ($name:ident, $number:ident $(, $argument:expr)*) => {
        // SAFETY: No argument is an address.
        unsafe { Call::new(stringify!($name), linux::$number, &[$($argument),*]) }
    };
}

/// The cheapest call.
pub const fn getppid() -> Call {
    plain!(getppid, __NR_getppid)
}

/// Lets others run.
pub const fn sched_yield() -> Call {
    plain!(sched_yield, __NR_sched_yield)
}

/// This process.
pub fn getpid() -> Process {
    Process(plain!(getpid, __NR_getpid).must())
}

/// Ends this process.
pub fn exit() -> ! {
    loop {
        plain!(exit_group, __NR_exit_group, 0).must();
    }
}

/// Sends a signal.
pub fn kill(process: Process, signal: u32) -> Call {
    plain!(kill, __NR_kill, process.0, signal as usize)
}

/// Waits until a child has ended.
pub fn wait4(child: Process) -> Call {
    plain!(wait4, __NR_wait4, child.0, 0, 0, 0)
}

/// Waits for a signal; Linux ends this call with an error when one has come.
pub fn pause() -> Call {
    plain!(ppoll, __NR_ppoll, 0, 0, 0, 0)
}

/// Switches the machine off.
pub fn power_off() -> Call {
    let [first, second] = [linux::LINUX_REBOOT_MAGIC1, linux::LINUX_REBOOT_MAGIC2];
    plain!(reboot, __NR_reboot, first as usize, second as usize, linux::LINUX_REBOOT_CMD_POWER_OFF as usize)
}

/// A copy of this process: `None` in the copy, the copy in the original.
pub fn fork() -> Option<Process> {
    match plain!(clone, __NR_clone, linux::SIGCHLD as usize, 0, 0, 0, 0).must() {
        0 => None,
        child => Some(Process(child)),
    }
}

/// Makes this process one of real time (first in, first out); of priority 0, an ordinary one.
pub fn set_priority(priority: u32) {
    let policy = if priority == 0 { linux::SCHED_NORMAL } else { linux::SCHED_FIFO };
    let arguments = [0, policy as usize, &raw const priority as usize];
    // SAFETY: Linux reads `struct sched_param`, which is this number, during the call.
    unsafe { Call::new("sched_setscheduler", linux::__NR_sched_setscheduler, &arguments) }.must();
}

/// Sleeps for some time.
pub fn sleep(time: &'static Time) -> Call {
    let arguments = [linux::CLOCK_MONOTONIC as usize, 0, time.as_ptr() as usize, 0];
    // SAFETY: Linux reads the time.
    unsafe { Call::new("clock_nanosleep", linux::__NR_clock_nanosleep, &arguments) }
}

/// A new pipe: where it is read, and where it is written.
pub fn pipe() -> (File, File) {
    let mut ends = [0u32; 2];
    // SAFETY: Linux writes two numbers during the call, by way of a pointer made for that.
    unsafe { Call::new("pipe2", linux::__NR_pipe2, &[&raw mut ends as usize, 0]) }.must();
    (File(ends[0] as usize), File(ends[1] as usize))
}

/// Reads one word.
pub fn read_word(file: File) -> u64 {
    let mut word = 0u64;
    // SAFETY: Linux writes eight bytes during the call, by way of a pointer made for that.
    unsafe { Call::new("read", linux::__NR_read, &[file.0, &raw mut word as usize, 8]) }.must();
    word
}

/// Writes bytes; how many it took.
pub fn write(file: File, bytes: &[u8]) -> usize {
    // SAFETY: Linux reads the bytes during the call.
    unsafe { Call::new("write", linux::__NR_write, &[file.0, bytes.as_ptr() as usize, bytes.len()]) }.must()
}

/// What is to be done with a file that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Read it; where there is nothing to read, do not wait.
    Reading,
    /// Write it, from its beginning.
    Writing,
}

/// Opens a file.
pub fn open(path: &CStr, purpose: For) -> Result<File, Errno> {
    let flags = match purpose {
        For::Reading => linux::O_RDONLY | linux::O_NONBLOCK,
        For::Writing => linux::O_WRONLY | linux::O_TRUNC,
    };
    let arguments = [linux::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize];
    // SAFETY: Linux reads the path during the call.
    unsafe { Call::new("openat", linux::__NR_openat, &arguments) }.make().map(File)
}

/// Reads bytes; how many it was.
pub fn read(file: File, bytes: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [file.0, bytes.as_mut_ptr() as usize, bytes.len()];
    // SAFETY: Linux writes to the bytes during the call, by way of a pointer made for that.
    unsafe { Call::new("read", linux::__NR_read, &arguments) }.make()
}

/// Bytes of an open file, which is read from its beginning afterwards.
pub fn length(file: File) -> usize {
    let length = plain!(lseek, __NR_lseek, file.0, 0, linux::SEEK_END as usize).must();
    plain!(lseek, __NR_lseek, file.0, 0, linux::SEEK_SET as usize).must();
    length
}

/// Closes a file.
pub fn close(file: File) {
    plain!(close, __NR_close, file.0).must();
}

/// Makes a directory.
pub fn make_directory(path: &CStr) {
    let arguments = [linux::AT_FDCWD as usize, path.as_ptr() as usize, 0o755];
    // SAFETY: Linux reads the path during the call.
    unsafe { Call::new("mkdirat", linux::__NR_mkdirat, &arguments) }.must();
}

/// Mounts a file system of a kind that needs no device.
pub fn mount(kind: &CStr, at: &CStr) {
    let (kind, at) = (kind.as_ptr() as usize, at.as_ptr() as usize);
    // SAFETY: Linux reads the strings during the call.
    unsafe { Call::new("mount", linux::__NR_mount, &[kind, at, kind, 0, 0]) }.must();
}

/// What a clock of Linux's says, in nanoseconds.
pub fn clock(which: u32) -> u64 {
    let mut time: Time = [0; 2];
    // SAFETY: Linux writes the time during the call, by way of a pointer made for that.
    unsafe {
        Call::new("clock_gettime", linux::__NR_clock_gettime, &[which as usize, time.as_mut_ptr() as usize])
    }
    .must();
    time[0] as u64 * NANOSECONDS + time[1] as u64
}

/// Sleeps until `CLOCK_MONOTONIC` is that far, in nanoseconds.
pub fn sleep_until(nanoseconds: u64) {
    let time: Time = [(nanoseconds / NANOSECONDS) as i64, (nanoseconds % NANOSECONDS) as i64];
    let flags = linux::TIMER_ABSTIME as usize;
    let arguments = [linux::CLOCK_MONOTONIC as usize, flags, time.as_ptr() as usize, 0];
    // SAFETY: Linux reads the time during the call.
    unsafe { Call::new("clock_nanosleep", linux::__NR_clock_nanosleep, &arguments) }.must();
}

/// Has Linux wake this process as soon after the end of a sleep as it can; it may wait for 50 us otherwise.
pub fn no_timer_slack() {
    plain!(prctl, __NR_prctl, linux_raw_sys::prctl::PR_SET_TIMERSLACK as usize, 1).must();
}

/// Keeps this process on a core.
pub fn stay_on(core: u64) {
    let mask = 1u64 << core;
    let arguments = [0, size_of::<u64>(), &raw const mask as usize];
    // SAFETY: Linux reads the mask during the call.
    unsafe { Call::new("sched_setaffinity", linux::__NR_sched_setaffinity, &arguments) }.must();
}

/// How this process is scheduled from now on: `struct sched_attr` of 48 bytes (Linux, `include/uapi/linux/sched/types.h`).
pub fn set_scheduling(policy: u32, priority: u64, [runtime, deadline, period]: [u64; 3]) {
    let attributes = [48 | u64::from(policy) << 32, 0, priority << 32, runtime, deadline, period];
    let arguments = [0, attributes.as_ptr() as usize, 0];
    // SAFETY: Linux reads the structure during the call.
    unsafe { Call::new("sched_setattr", linux::__NR_sched_setattr, &arguments) }.must();
}

/// A file descriptor for tracking one's own memory.
pub fn userfaultfd() -> Call {
    plain!(userfaultfd, __NR_userfaultfd, linux::UFFD_USER_MODE_ONLY as usize)
}

/// Controls an open file.
///
/// # Safety
/// The structure must be the one of that operation, and what Linux writes by its addresses be unknown to Rust.
pub unsafe fn ioctl<T>(name: &'static str, file: File, operation: usize, structure: &mut T) -> Call {
    // SAFETY: As the caller has promised.
    unsafe { Call::new(name, linux::__NR_ioctl, &[file.0, operation, &raw mut *structure as usize]) }
}

/// Linux's name for itself.
pub fn uname() -> new_utsname {
    // SAFETY: All zero is a value of it, six empty strings.
    let mut names: new_utsname = unsafe { core::mem::zeroed() };
    // SAFETY: Linux fills in the structure during the call, by way of a pointer made for that.
    unsafe { Call::new("uname", linux::__NR_uname, &[&raw mut names as usize]) }.must();
    names
}

/// Waits until the number there is no longer `seen`; that it is not so now is no error.
pub fn futex_wait(address: usize, seen: u32) {
    let arguments = [address, linux::FUTEX_WAIT as usize, seen as usize, 0];
    // SAFETY: Linux reads the number. It says EAGAIN if it has changed already.
    let _ = unsafe { Call::new("futex", linux::__NR_futex, &arguments) }.make();
}

/// Wakes so many who wait there.
pub fn futex_wake(address: usize, most: u32) {
    let arguments = [address, linux::FUTEX_WAKE as usize, most as usize];
    // SAFETY: Linux looks for the address among those that are waited at.
    unsafe { Call::new("futex", linux::__NR_futex, &arguments) }.must();
}
