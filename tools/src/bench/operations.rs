//! The operations that are measured, each with what its figure stands beside: Linux's counterpart, the published pair, the
//! budget. One table, and all that is known beforehand; not here: any figure that was measured.

/// Budgets that are known not to be met, by operation, and why in short; `docs/primitives.md` has the listings. An entry whose
/// budget is met fails the benchmark, so that the list stays true.
pub const EXPLAINED: &[(&str, &str)] = &[
    ("yield_to", "all registers of both sides are kept, which alone takes 44, and the stack 7"),
    ("yield_to_round", "two yields, each above its own floor"),
    ("preempt", "an interrupt and a yield, each with all registers"),
    ("slice_switch", "all registers, the interrupt controller and exact accounts, in Rust"),
    ("prot1", "Rust's registers are kept around the walk of the tables"),
    ("unprot1", "as prot1: the registers are kept around the walk"),
];

/// Microseconds on a DECstation 5000/125 (25 MHz R3000), 1995: Engler, Kaashoek and O'Toole, *Exokernel*, SOSP 1995, tables
/// 2 to 10.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Ultrix 4.2, the monolithic kernel; of `pct`, the microkernel L3, scaled.
    pub monolithic_us: Option<f64>,
    /// Aegis, or ExOS on top of it.
    pub exokernel_us: f64,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operation {
    /// Its id, the same in the guest's reports and in files.
    pub id: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// The id of what Linux has for the same purpose (`docs/linux.md`).
    pub linux: Option<&'static str>,
    /// The published pair.
    pub published: Option<Published>,
    /// What it may cost at most, in instructions.
    pub budget: Option<u64>,
}

const fn operation(id: &'static str, title: &'static str) -> Operation {
    Operation { id, title, linux: None, published: None, budget: None }
}

impl Operation {
    const fn linux(mut self, id: &'static str) -> Self {
        self.linux = Some(id);
        self
    }

    const fn published(mut self, monolithic_us: f64, exokernel_us: f64) -> Self {
        self.published = Some(Published { monolithic_us: Some(monolithic_us), exokernel_us });
        self
    }

    const fn exokernel_only(mut self, exokernel_us: f64) -> Self {
        self.published = Some(Published { monolithic_us: None, exokernel_us });
        self
    }

    const fn budget(mut self, most: u64) -> Self {
        self.budget = Some(most);
        self
    }
}

/// Every operation, in the order of the table. Ids that begin like another's and end in `_round` are the way there and
/// back.
pub const OPERATIONS: &[Operation] = &[
    operation("null", "a call that does nothing").linux("null").published(21.3, 1.6).budget(12),
    operation("null_general", "a call through the kernel's general path, refused").published(21.3, 2.3),
    operation("exc_unalign", "unaligned access, to the handler")
        .linux("exc_unalign")
        .exokernel_only(1.5)
        .budget(18),
    operation("exc_unalign_round", "… and back").linux("exc_unalign_round"),
    operation("exc_undefined", "undefined instruction, to the handler").linux("exc_undefined").budget(18),
    operation("exc_undefined_round", "… and back").linux("exc_undefined_round"),
    operation("exc_breakpoint", "breakpoint, to the handler").linux("exc_breakpoint").budget(18),
    operation("exc_breakpoint_round", "… and back").linux("exc_breakpoint_round"),
    operation("exc_protection", "write to a read-only page, to the handler")
        .linux("exc_protection")
        .published(154.0, 1.5)
        .budget(18),
    operation("exc_protection_round", "… and back").linux("exc_protection_round"),
    operation("exc_reflected", "foreign system call, to the handler").budget(18),
    operation("exc_reflected_round", "… and back"),
    operation("exc_coproc", "floating point off, to the handler").exokernel_only(1.5).budget(18),
    operation("exc_coproc_round", "… and back, without turning it on"),
    operation("exc_return", "the kernel's part of a handler's return").budget(0),
    operation("pct", "protected control transfer, one way").linux("pipe").published(9.3, 1.4).budget(30),
    operation("pct_round", "protected control transfer, there and back").linux("pipe_round"),
    operation("lrpc", "procedure call into another environment").linux("pipe_round").exokernel_only(6.3),
    operation("tlrpc", "the same, trusting the server with registers")
        .linux("pipe_round")
        .exokernel_only(2.9),
    operation("yield_to", "directed yield, one way").linux("yield").budget(45),
    operation("yield_to_round", "directed yield, there and back").linux("yield_round").budget(90),
    operation("wait", "a client waits: until its scheduler runs"),
    operation("preempt", "preempted client, scheduler, next client").linux("timer").budget(260),
    operation("slice_switch", "end of a slot to the next slot's owner").budget(200),
    operation("notify", "readies a waiting activation, tells its manager").linux("signal"),
    operation("pipe", "pipe: a word there and back, by calls").linux("pipe_round").published(199.0, 14.2),
    operation("pipe_inlined", "pipe': the same, inlined").linux("pipe_round").exokernel_only(10.7),
    operation("shm", "shared counter, there and back").linux("shm_round").published(118.0, 5.7),
    operation("prot1", "protect one page").linux("prot1").published(32.0, 16.9).budget(60),
    operation("unprot1", "unprotect one page").linux("unprot1").budget(60),
    operation("prot100", "protect 100 pages").linux("prot100").published(102.0, 109.0).budget(1500),
    operation("unprot100", "unprotect 100 pages").linux("unprot100").published(102.0, 143.0).budget(1500),
    operation("map", "map a page").linux("map"),
    operation("unmap", "unmap a page").linux("unmap"),
    operation("trap", "protection fault, handled by the libOS").linux("trap").published(161.0, 4.8),
    operation("appel1", "fault: protect one page, unprotect another").linux("appel1").published(262.0, 34.0),
    operation("appel2", "100 pages protected, each unprotected by fault")
        .linux("appel2")
        .published(232.0, 22.0),
    operation("dirty", "is a page dirty? as the linear table has it").linux("dirty").exokernel_only(9.8),
    operation("dirty_linear", "the same row, beside the next"),
    operation("dirty_inverted", "is a page dirty? inverted table"),
    operation("prot1_linear", "protect one page, and note it: linear table").linux("prot1"),
    operation("prot1_inverted", "… inverted table").linux("prot1"),
    operation("prot100_linear", "protect 100 pages, and note it: linear table").linux("prot100"),
    operation("prot100_inverted", "… inverted table").linux("prot100"),
    operation("unprot100_linear", "unprotect 100 pages, and note it: linear table").linux("unprot100"),
    operation("unprot100_inverted", "… inverted table").linux("unprot100"),
    operation("trap_linear", "trap, by a handler that looks the page up: linear").linux("trap"),
    operation("trap_inverted", "… inverted table").linux("trap"),
    operation("appel1_linear", "appel1, with a linear table").linux("appel1"),
    operation("appel1_inverted", "… inverted table").linux("appel1"),
    operation("appel2_linear", "appel2, with a linear table").linux("appel2"),
    operation("appel2_inverted", "… inverted table").linux("appel2"),
    operation("bind", "bind a capability to a handle").budget(400),
    operation("env_create_destroy", "an environment made, destroyed, reclaimed").linux("process_create"),
    operation("matmul", "150×150 matrices of integers multiplied")
        .linux("matmul")
        .published(3_800_000.0, 3_700_000.0),
];

/// Why the operation's budget is not met, where that is known.
pub fn explanation(id: &str) -> Option<&'static str> {
    EXPLAINED.iter().find(|(operation, _)| *operation == id).map(|(_, why)| *why)
}

/// The operation with this id.
pub fn find(id: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_there_once() {
        for (place, operation) in OPERATIONS.iter().enumerate() {
            let first = OPERATIONS.iter().position(|other| other.id == operation.id);
            assert_eq!(first, Some(place), "{}", operation.id);
        }
    }

    #[test]
    fn what_is_explained_has_a_budget() {
        assert!(EXPLAINED.iter().all(|(id, _)| find(id).is_some_and(|operation| operation.budget.is_some())));
    }

    #[test]
    fn the_budgets_are_those_of_the_issue() {
        let budget = |id| find(id).and_then(|operation| operation.budget);
        let expected = [
            ("null", 12),
            ("exc_protection", 18),
            ("exc_return", 0),
            ("yield_to", 45),
            ("yield_to_round", 90),
            ("preempt", 260),
            ("slice_switch", 200),
            ("prot1", 60),
            ("prot100", 1500),
            ("bind", 400),
        ];
        for (id, most) in expected {
            assert_eq!(budget(id), Some(most), "{id}");
        }
    }
}
