//! A core among others that share its clock: when it wants a turn, and what passes over it in the others'.
//!
//! Whoever has the core is charged all the time that passes, as the kernel does it, by the clock; but only in its own turns does
//! the core execute instructions, take interrupts, and see that its client has used what it was to use. Not here: whose turn it is
//! (`turns`).

use super::super::activation::{Away, Doing};
use super::super::client::Client;
use super::super::slots::BROKER;
use super::Core;

impl Core {
    /// Whether there are instructions for it to execute. If not, it waits for an interrupt.
    pub fn is_busy(&self) -> bool {
        self.now < self.kernel_until
            || self.due().min(self.told_at()) <= self.now
            || match self.owner() {
                Some(place) => !self.activations[place].sleeps(self.now),
                None => self.broker.is_some_and(|broker| broker.until <= self.now),
            }
    }

    /// What its timer is programmed for: the end of the slot, of what was yielded in it, or of its owner's wait.
    pub fn due(&self) -> u64 {
        let until = match self.owner().map(|place| &self.activations[place].doing) {
            Some(Doing::Away(away)) => away.decision.until.0,
            Some(Doing::Waiting(until)) => *until,
            Some(_) => u64::MAX,
            None => self.broker.map_or(0, |broker| broker.until),
        };
        // The broker does not wait any more, once its time has come.
        let over = self.slot.owner == BROKER && until <= self.now;
        if over { self.slot.end } else { until.min(self.slot.end) }
    }

    /// Until when it makes no difference whether it executes instructions or stands still.
    pub fn quiet_until(&self) -> u64 {
        let client =
            |away: &Away, place: usize| &self.activations[place].clients[usize::from(away.decision.client.0)];
        let acts = match self.owner().map(|place| (place, &self.activations[place].doing)) {
            _ if self.now < self.kernel_until => 0,
            Some((_, Doing::Own(..) | Doing::Back(..))) => 0,
            Some((place, Doing::Away(away))) => self.now.saturating_add(client(away, place).quiet_for()),
            Some((place, _)) if !self.activations[place].sleeps(self.now) => 0,
            None if self.broker.is_some_and(|broker| broker.until <= self.now) => 0,
            Some(_) | None => u64::MAX,
        };
        acts.min(self.due()).min(self.told_at())
    }

    /// When other cores' news ends what its slot's owner does.
    fn told_at(&self) -> u64 {
        self.owner().map_or(u64::MAX, |place| self.activations[place].told_at())
    }

    /// When it next does anything but let time pass, if nobody tells it of news before.
    pub fn acts_at(&self) -> u64 {
        if self.now >= self.slot.end {
            return self.now;
        }
        if self.now < self.kernel_until {
            return self.kernel_until;
        }
        let own = match self.owner().map(|place| &self.activations[place]) {
            Some(activation) => match activation.doing {
                Doing::Nothing => u64::MAX,
                Doing::Own(left, _) => self.now.saturating_add(left),
                Doing::Away(away) => {
                    let left = activation.clients[usize::from(away.decision.client.0)].left();
                    away.decision.until.0.min(self.now.saturating_add(left))
                }
                Doing::Back(..) => self.now,
                Doing::Waiting(until) if activation.is_awaited(until, self.now) => self.now,
                Doing::Waiting(until) => until,
            },
            None => self.broker.map_or(u64::MAX, |broker| match broker.until <= self.now {
                true => self.now.saturating_add(broker.left),
                false => broker.until,
            }),
        };
        own.min(self.told_at()).max(self.now).min(self.slot.end)
    }

    /// Time passes to `time` in which the core executes nothing, because others do. It is charged to whoever has the core, until
    /// the timer is due: then to the kernel, which is late.
    pub fn stand_still(&mut self, time: u64) {
        if self.now < self.kernel_until {
            let span = self.pass(time);
            self.ledger.kernel += span;
            (self.kernel_until, self.late_until) = (self.kernel_until + span, self.late_until + span);
            return;
        }
        let due = self.due().min(self.told_at());
        let span = time.min(due).saturating_sub(self.now);
        if let Some(client) = self.charge(span) {
            client.stand_still(span);
        }
        self.ledger.kernel += self.pass(time);
        self.wake_root(due, span);
    }

    /// Time passes, all of it quiet.
    pub fn skip(&mut self, span: u64) {
        if let Some(client) = self.charge(span) {
            client.skip(span);
        }
    }

    /// Time passes that is charged to whoever has the core: the client that it is.
    fn charge(&mut self, span: u64) -> Option<&mut Client> {
        let works = self.broker.is_some_and(|broker| broker.until <= self.now);
        self.now += span;
        let owner = self.owner();
        match owner.map(|place| &mut self.activations[place]) {
            None if works => self.ledger.broker += span,
            None => self.ledger.idle += span,
            Some(activation) => match &mut activation.doing {
                Doing::Nothing | Doing::Waiting(_) => self.ledger.idle += span,
                Doing::Own(..) | Doing::Back(..) => activation.own += span,
                Doing::Away(away) => {
                    away.ran += span;
                    self.ledger.clients += span;
                    return activation.clients.get_mut(usize::from(away.decision.client.0));
                }
            },
        }
        None
    }

    /// A root's wait came to an end while the core stood still, for the last `span` of which it was not late.
    fn wake_root(&mut self, due: u64, span: u64) {
        let waits = |place: usize| matches!(self.activations[place].doing, Doing::Waiting(_));
        if span > 0 && due <= self.now && due < self.slot.end && self.owner().is_some_and(waits) {
            self.kernel_until = self.now + self.costs.wake;
        }
    }
}
