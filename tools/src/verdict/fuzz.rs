//! What is expected of a call fuzzer: that it did its worst, and that nothing is left of it. Not here: what is expected of
//! everybody else meanwhile, which is what is always expected of them.

use super::Lines;
use libos_core::report::{Fuzz, FuzzAccount};
use libos_core::scenario::LibOs;

impl Lines<'_> {
    /// The expectations of a libOS that is to make calls; none of one that is not.
    pub(super) fn fuzz(&mut self, libos: &LibOs) {
        let wanted = u64::from(libos.calls);
        if wanted == 0 {
            return;
        }
        let name = &libos.name;
        let heard: Vec<&Fuzz> = self.outcome.fuzz.iter().filter(|fuzz| fuzz.name == *name).collect();
        let [fuzz] = heard[..] else {
            return self.line(
                format!("{name}: it tells what it did"),
                format!("{} times", heard.len()),
                false,
            );
        };
        let made: u64 = fuzz.calls.iter().map(|row| row.made).sum();
        let seen = format!("{made} by {} environments, {} faults", fuzz.environments, fuzz.faults);
        self.line(format!("{name}: at least {wanted} calls are made"), seen, made >= wanted);
        self.fuzz_reach(name, fuzz);
        let (before, after) = (account(fuzz.before), account(fuzz.after));
        let seen = if before == after { before } else { format!("{before}; then {after}") };
        let same = fuzz.before == fuzz.after && fuzz.before != FuzzAccount::default();
        self.line(format!("{name}: in the end everything is there that was there before"), seen, same);
        let seen = format!("{} times wrong", fuzz.wrong);
        self.line(format!("{name}: nothing is lost or changed in any round"), seen, fuzz.wrong == 0);
    }

    /// Calls that are never made, or never accepted, are not tested.
    fn fuzz_reach(&mut self, name: &str, fuzz: &Fuzz) {
        let never: Vec<_> =
            fuzz.calls.iter().filter(|row| row.made == 0).map(|row| row.name.as_str()).collect();
        let accepted = fuzz.calls.iter().filter(|row| row.accepted > 0).count();
        let seen = match never.is_empty() {
            true => format!("all {}, of which {accepted} are accepted at times", fuzz.calls.len()),
            false => format!("never {}", never.join(", ")),
        };
        let reached = never.is_empty() && accepted * 2 > fuzz.calls.len() && fuzz.reflected > 0;
        self.line(
            format!("{name}: every call is made, unknown ones too, and most are accepted at times"),
            seen,
            reached,
        );
    }
}

fn account(account: FuzzAccount) -> String {
    let FuzzAccount { frames, environments, handles, slots } = account;
    format!("{frames} frames, {environments} environments, {handles} free handles, {slots} slots")
}
