//! SD memory cards behind a standard host controller (SDHCI), moved word by word: no DMA, no interrupts.
//!
//! * [`registers`]: the controller's registers, and [`Port`](registers::Port), all that is asked of the hardware.
//! * [`host`]: commands and answers, the clock. [`identify`]: from power to a card that can be read, at boot.
//! * [`transfer`]: a page of blocks, in pieces of which each takes a bounded time.
//!
//! Facts are from the SD Association's simplified specifications, *SD Host Controller* 3.00 (cited as HC) and *Physical
//! Layer* 6.00 (PL). What the controllers of the BCM2711 (Raspberry Pi 4) do otherwise is known from the quirks of Linux's
//! `sdhci-iproc`: registers are accessed in 32 bits only, of which the older one may lose one of two writes that are close to each
//! other at a slow clock; the base clock in the newer one's capabilities is not to be relied on (`CAP_CLOCK_BASE_BROKEN`), and
//! it may hang below 200 kHz.
//!
//! Not here: cards that are taken out and put back, high speed, 1.8 V, DMA, SDIO, MMC.

pub mod host;
pub mod identify;
pub mod registers;
pub mod transfer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
