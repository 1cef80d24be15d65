//! The PL011 UART: bytes for whoever may write to the console, lines for the kernel's log.
//!
//! One lock guards it, so that lines come out whole. Nothing else is locked while it is held.

use super::cpu;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use core::fmt::{self, Write};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

// PrimeCell UART (PL011) Technical Reference Manual, chapter 3: offsets and bits.
const DATA: u64 = 0x00;
const FLAGS: u64 = 0x18;
const WHOLE_DIVISOR: u64 = 0x24;
const FRACTIONAL_DIVISOR: u64 = 0x28;
const LINE_CONTROL: u64 = 0x2c;
const CONTROL: u64 = 0x30;
const FLAGS_TRANSMIT_FULL: u32 = 1 << 5;
const LINE_CONTROL_8_BITS_FIFO: u32 = 0x70;
const CONTROL_ENABLE_BOTH_WAYS: u32 = 0x301;

/// The UART, by the address at which its registers are mapped. Zero: none yet.
struct Uart(u64);

static UART: Mutex<Uart> = Mutex::new(Uart(0));

/// Starts the console on a PL011 mapped at `registers`, and the log on it. Without divisors of its clock, whole and in 64ths,
/// the rate is left as the firmware set it.
pub fn begin(registers: u64, divisors: Option<(u32, u32)>) {
    let mut uart = UART.lock();
    uart.0 = registers;
    uart.write_register(CONTROL, 0);
    if let Some((whole, fraction)) = divisors {
        // They count from the next write of the line control (3.3.6).
        uart.write_register(WHOLE_DIVISOR, whole);
        uart.write_register(FRACTIONAL_DIVISOR, fraction);
    }
    uart.write_register(LINE_CONTROL, LINE_CONTROL_8_BITS_FIFO);
    uart.write_register(CONTROL, CONTROL_ENABLE_BOTH_WAYS);
    drop(uart);
    static LOGGER: Logger = Logger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Writes as many bytes as fit without waiting; returns how many. None, if another core is writing.
pub(super) fn write_some(bytes: &[u8]) -> usize {
    match UART.try_lock() {
        Some(uart) => bytes.iter().take_while(|byte| uart.try_put(**byte)).count(),
        None => 0,
    }
}

/// Writes a line as a whole, waiting for room.
pub(super) fn write_line(line: fmt::Arguments<'_>) {
    let mut uart = UART.lock();
    let _ = uart.write_fmt(line);
    let _ = uart.write_str("\n");
}

/// Takes the console from whoever holds it: the kernel is dying, and that core is told to stop.
pub(super) fn seize() {
    for _ in 0..1_000_000 {
        if UART.try_lock().is_some() {
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: no core continues after this, so that two may write at once matters only for how it reads.
    unsafe { UART.force_unlock() };
}

impl Uart {
    fn try_put(&self, byte: u8) -> bool {
        if self.0 == 0 || self.read_register(FLAGS) & FLAGS_TRANSMIT_FULL != 0 {
            return false;
        }
        self.write_register(DATA, u32::from(byte));
        true
    }

    fn put(&self, byte: u8) {
        while self.0 != 0 && !self.try_put(byte) {}
    }

    fn read_register(&self, offset: u64) -> u32 {
        // SAFETY: `self.0` is the mapped PL011, and reading its flags has no effect on it.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    fn write_register(&self, offset: u64, value: u32) {
        // SAFETY: `self.0` is the mapped PL011, which is only reached under its lock; it does not touch memory.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) };
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}

/// Time since the counter started, as `seconds.microseconds`.
pub(super) struct Now;

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frequency = CNTFRQ_EL0.get().max(1);
        let ticks = CNTVCT_EL0.get();
        let micros = (ticks % frequency) * 1_000_000 / frequency;
        write!(f, "{}.{:06}", ticks / frequency, micros)
    }
}

/// Level, core and time before every line.
struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        write_line(format_args!("[{Now} core {} {:5}] {}", cpu::this().0, record.level(), record.args()));
    }

    fn flush(&self) {}
}
