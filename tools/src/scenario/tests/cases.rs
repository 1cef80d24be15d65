//! Every mistake that the checks find, made one at a time in the good scenario.

/// All that the second client has but its name.
const B: &str = "program = \"matmul\"\ntickets = 2\ncore = 1\n";

/// What is replaced, by what, and the one complaint.
pub const CASES: &[(&str, &str, &str)] = &[
    // The document itself.
    ("[broker]", "[broker", "f:6: unclosed table, expected `]`"),
    ("cores = 2", "cores = 2\ncores = 3", "f:4: duplicate key"),
    // Single fields.
    ("name = \"test\"\n", "", "f:1: name: is missing"),
    ("policy = \"edf\"\n", "", "f:27: libos[1].policy: is missing"),
    ("want = 4\n", "", "f:9: libos[0].want: is missing"),
    ("program = \"matmul\"\n", "", "f:21: libos[0].clients[1].program: is missing"),
    ("cores = 2", "cores = 9", "f:3: cores: must be at most 8 (got 9)"),
    (
        "cores = 2",
        "cores = 99999999999999999999999",
        "f:3: cores: must be at most 8 (got 99999999999999999999999)",
    ),
    ("cores = 2", "cores = 0", "f:3: cores: must be at least 1 (got 0)"),
    ("cores = 2", "cores = -1", "f:3: cores: must be at least 1 (got -1)"),
    ("cores = 2", "cores = 2.0", "f:3: cores: must be an integer (got a value of type float)"),
    ("tickets = 3", "tickets = 0", "f:18: libos[0].clients[0].tickets: must be at least 1 (got 0)"),
    ("name = \"shares\"", "name = 7", "f:10: libos[0].name: must be a text (got a value of type integer)"),
    (
        "replicate = true",
        "replicate = 1",
        "f:19: libos[0].clients[0].replicate: must be true or false (got a value of type integer)",
    ),
    (
        "policy = \"stride\"",
        "policy = 1",
        "f:11: libos[0].policy: must be a text (got a value of type integer)",
    ),
    (
        "\"grace-abuse\"",
        "\"sulk\"",
        "f:43: hostile[0].behaviour[1]: must be one of loop, bad-pointers, unknown-calls, forged-capabilities, handler-faults, ignore-revocation, grace-abuse (got \"sulk\")",
    ),
    ("[\"loop\", \"grace-abuse\"]", "[]", "f:43: hostile[0].behaviour: must list at least one"),
    (
        "[200, 400]",
        "[200, \"x\"]",
        "f:45: hostile[0].asked_ms[1]: must be an integer (got a value of type string)",
    ),
    ("[200, 400]", "200", "f:45: hostile[0].asked_ms: must be a list (got a value of type integer)"),
    ("[broker]\nslots = 1", "broker = 1", "f:6: broker: must be a table (got a value of type integer)"),
    (
        "grace-abuse\"]\n",
        "grace-abuse\"]\nsize = 1\n",
        "f:44: hostile[0].size: unknown field; known here are name, program, behaviour, frames, slots, asked_ms, asked_slots",
    ),
    (
        "slots = 1\n",
        "slots = 1\ntips = 3\n",
        "f:8: broker.tips: unknown field; known here are mode, slots, patience_ms",
    ),
    (
        "cores = 2",
        "core = 2",
        "f:3: core: unknown field; known here are name, duration_ms, cores, quantum_us, slots, grace_us, seed, broker, libos, hostile, trace",
    ),
    // Fields that exclude or need each other.
    ("tickets = 2\n", "", ""),
    ("tickets = 2", "tickets = 2\nbudget_us = 5\nperiod_us = 1000", ""),
    ("budget_us = 1000\nperiod_us = 10000", "tickets = 1", ""),
    (
        "tickets = 2",
        "tickets = 2\nwork_us = 5",
        "f:21: libos[0].clients[1].budget_us: is missing\nf:21: libos[0].clients[1].period_us: is missing",
    ),
    // Schedulers within schedulers.
    (
        B,
        "policy = \"cbs\"\ncore = 1\n[[libos.clients.clients]]\nname = \"c\"\npolicy = \"edf\"\nbudget_us = 5\nperiod_us = 9\n[[libos.clients.clients.clients]]\nname = \"d\"\nprogram = \"spin\"\n",
        "",
    ),
    (
        B,
        "policy = \"stride\"\n",
        "f:21: libos[0].clients[1].clients: policy stride needs at least one client",
    ),
    (
        B,
        "program = \"matmul\"\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\n",
        "f:21: libos[0].clients[1].policy: is missing: who has clients schedules them, and by which policy",
    ),
    (
        B,
        "policy = \"edf\"\nbudget_us = 5\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\n",
        "f:21: libos[0].clients[1].period_us: is missing",
    ),
    (
        B,
        "policy = \"edf\"\nbudget_us = 5\nperiod_us = 3\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\n",
        "f:24: libos[0].clients[1].budget_us: a scheduler has a budget under cbs and cbs-hard (its scheduler's policy is stride): give it tickets\nf:24: libos[0].clients[1].budget_us: must be at most period_us = 3 (got 5)",
    ),
    (
        B,
        "policy = \"fifo\"\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\ncore = 1\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\nreplicate = true\n",
        "f:27: libos[0].clients[1].clients[0].core: it lives on the core of its scheduler: leave it out\nf:29: libos[0].clients[1].clients[1].name: \"c\" is already the name of client 0 there\nf:31: libos[0].clients[1].clients[1].replicate: it lives on the core of its scheduler, which can be on all: leave it out",
    ),
    (
        B,
        "policy = \"fifo\"\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\nbudget_us = 9\nperiod_us = 3\n",
        "f:27: libos[0].clients[1].clients[0].budget_us: must be at most deadline_us = 3 (got 9)\nf:27: libos[0].clients[1].clients[0].budget_us: must be at most period_us = 3 (got 9)",
    ),
    (
        B,
        "policy = \"none\"\nprogram = \"fifo\"\n[[libos.clients.clients]]\nname = \"c\"\nprogram = \"spin\"\n",
        "f:23: libos[0].clients[1].policy: policy none has no clients",
    ),
    // Hot swaps.
    ("want = 4\n", "want = 4\nswaps_to = \"lottery\"\nswaps_ms = 400\n", ""),
    (
        "want = 4\n",
        "want = 4\nswaps_to = \"lottery\"\n",
        "f:9: libos[0].swaps_ms: is missing: when, in ms after the start, the other policy takes over",
    ),
    (
        "want = 4\n",
        "want = 4\nswaps_ms = 400\n",
        "f:14: libos[0].swaps_ms: needs swaps_to beside it, which says which policy takes over",
    ),
    (
        "want = 4\n",
        "want = 4\nswaps_to = \"none\"\nswaps_ms = 1000\n",
        "f:14: libos[0].swaps_to: the program that swaps has the libraries' policies of one core, and none is none of them\nf:15: libos[0].swaps_ms: must be after arrives_ms = 0 and before duration_ms = 1000 (got 1000)",
    ),
    (
        "want = 4\n",
        "want = 4\nprogram = \"stride\"\nswaps_to = \"edf\"\nswaps_ms = 400\n",
        "f:9: libos[0].admission: must be \"off\": no guarantee outlives the policy that gave it\nf:14: libos[0].program: must be \"hot-swap\", which has every policy (got \"stride\")",
    ),
    (
        "want = 4\n",
        "want = 4\nswaps_to = \"lottery\"\nswaps_ms = 400\nfails = \"crash\"\nfails_ms = 300\n",
        "f:14: libos[0].swaps_to: a libOS either changes its policy or fails on purpose, not both",
    ),
    // Heirs.
    ("want = 4\n", "want = 4\nheir = \"fifo\"\n", ""),
    (
        "want = 4\n",
        "want = 4\nheir = \"none\"\nswaps_to = \"lottery\"\nswaps_ms = 400\n",
        "f:14: libos[0].heir: a libOS that changes its policy has no heir: leave out swaps_to, or heir\nf:14: libos[0].heir: policy none schedules nobody: a scheduler's heir is a scheduler",
    ),
    // Failures on purpose.
    ("want = 4\n", "want = 4\nfails = \"crash\"\nfails_ms = 400\n", ""),
    ("want = 4\n", "want = 4\nfails = \"forges\"\nfails_ms = 400\nmended_ms = 600\n", ""),
    (
        "want = 4\n",
        "want = 4\nfails = \"sulks\"\nfails_ms = 400\n",
        "f:14: libos[0].fails: must be one of crash, endless-loop, never-yields, yields-to-the-dead, forges, floods-calls, ignores-revocation, corrupts-its-tables (got \"sulks\")",
    ),
    (
        "want = 4\n",
        "want = 4\nfails = \"crash\"\n",
        "f:9: libos[0].fails_ms: is missing: when, in ms after the start, the libOS begins to fail",
    ),
    (
        "want = 4\n",
        "want = 4\nfails_ms = 400\nmended_ms = 500\n",
        "f:14: libos[0].fails_ms: needs fails beside it, which says how the libOS fails; without a failure leave it out\nf:15: libos[0].mended_ms: needs fails beside it, which says how the libOS fails; without a failure leave it out",
    ),
    (
        "want = 4\n",
        "want = 4\nfails = \"crash\"\nfails_ms = 400\nmended_ms = 500\n",
        "f:16: libos[0].mended_ms: nobody comes back from \"crash\", which ends when the broker ends the libOS: leave it out (got 500)",
    ),
    (
        "want = 4\n",
        "want = 4\nfails = \"forges\"\nfails_ms = 1000\nmended_ms = 900\n",
        "f:15: libos[0].fails_ms: must be after arrives_ms = 0 and before duration_ms = 1000 (got 1000)\nf:16: libos[0].mended_ms: must be after fails_ms = 1000 and before duration_ms = 1000 (got 900)",
    ),
    (
        "leaves_ms = 900\n",
        "leaves_ms = 900\nfails = \"forges\"\nfails_ms = 100\nmended_ms = 900\n",
        "f:35: libos[1].fails_ms: must be after arrives_ms = 100 and before leaves_ms = 900 (got 100)\nf:36: libos[1].mended_ms: must be after fails_ms = 100 and before leaves_ms = 900 (got 900)",
    ),
    // Currencies, and clients that come and go.
    (
        "policy = \"stride\"\nincome = 10\nwant = 4\n",
        "policy = \"lottery\"\nincome = 10\nwant = 4\ncurrencies = [{ name = \"x\", tickets = 5 }, { name = \"y\", tickets = 2, of = \"x\" }]\n",
        "",
    ),
    (
        "want = 4\n",
        "want = 4\ncurrencies = [{ name = \"x\", tickets = 5 }]\n",
        "f:14: libos[0].currencies: policy stride has no currencies: only lottery has; leave them out, or change policy",
    ),
    (
        "policy = \"stride\"\nincome = 10\nwant = 4\n",
        "policy = \"lottery\"\nincome = 10\nwant = 4\n\
         currencies = [{ name = \"x\", tickets = 5, of = \"y\" }, { name = \"y\", tickets = 2 }, { name = \"y\", tickets = 2 }]\n",
        "f:14: libos[0].currencies[0].of: must be a currency listed before this one, or left out for the base; there are: none (got \"y\")\n\
         f:14: libos[0].currencies[2].name: \"y\" is already the name of libos[0].currencies[1]",
    ),
    (
        "tickets = 2\n",
        "tickets = 2\ncurrency = \"x\"\n",
        "f:25: libos[0].clients[1].currency: must be a currency of this libOS, or left out for the base; there are: none (got \"x\")",
    ),
    ("tickets = 2\n", "tickets = 2\njoins_ms = 300\nleaves_ms = 999\n", ""),
    (
        "tickets = 2\n",
        "tickets = 2\njoins_ms = 1000\nleaves_ms = 1000\n",
        "f:25: libos[0].clients[1].joins_ms: must be after arrives_ms = 0 and before duration_ms = 1000 (got 1000)\n\
         f:26: libos[0].clients[1].leaves_ms: must be after joins_ms = 1000 and before duration_ms = 1000 (got 1000)",
    ),
    (
        "period_us = 10000\n",
        "period_us = 10000\njoins_ms = 100\nleaves_ms = 900\n",
        "f:40: libos[1].clients[0].joins_ms: must be after arrives_ms = 100 and before leaves_ms = 900 (got 100)\n\
         f:41: libos[1].clients[0].leaves_ms: must be after joins_ms = 100 and before leaves_ms = 900 (got 900)",
    ),
    // Arrivals.
    (
        "tickets = 2",
        "arrivals = \"bursty\"\nbudget_us = 500\ngap_us = 9000\nburst = 4\nwork_min_us = 100\ndeadline_us = 500",
        "",
    ),
    ("tickets = 2", "arrivals = \"interactive\"\nbudget_us = 500\nthink_us = 9000\nwork_us = 500", ""),
    (
        "tickets = 2",
        "arrivals = \"steady\"\nbudget_us = 1\nperiod_us = 1000",
        "f:24: libos[0].clients[1].arrivals: must be one of periodic, bursty, interactive, trace (got \"steady\")",
    ),
    ("tickets = 2", "arrivals = \"bursty\"\nbudget_us = 5", "f:21: libos[0].clients[1].gap_us: is missing"),
    (
        "tickets = 2",
        "arrivals = \"interactive\"\nthink_us = 5",
        "f:21: libos[0].clients[1].budget_us: is missing",
    ),
    (
        "tickets = 2",
        "arrivals = \"interactive\"\nbudget_us = 5",
        "f:21: libos[0].clients[1].think_us: is missing",
    ),
    (
        "tickets = 2",
        "arrivals = \"bursty\"\nbudget_us = 5\ngap_us = 7\nperiod_us = 9",
        "f:27: libos[0].clients[1].period_us: has no meaning with bursty arrivals",
    ),
    (
        "tickets = 2",
        "budget_us = 5\nperiod_us = 9\nburst = 2",
        "f:26: libos[0].clients[1].burst: has no meaning with periodic arrivals",
    ),
    (
        "tickets = 2",
        "arrivals = \"bursty\"\nbudget_us = 5\ngap_us = 7\nburst = 1001",
        "f:27: libos[0].clients[1].burst: must be at most 1000 (got 1001)",
    ),
    (
        "tickets = 2",
        "arrivals = \"bursty\"\nbudget_us = 5\ngap_us = 7\ndeadline_us = 4",
        "f:25: libos[0].clients[1].budget_us: must be at most deadline_us = 4 (got 5)",
    ),
    (
        "tickets = 2",
        "arrivals = \"interactive\"\nbudget_us = 5\nthink_us = 7\nwork_us = 3\nwork_min_us = 4",
        "f:28: libos[0].clients[1].work_min_us: must be at most work_us = 3 (got 4)",
    ),
    // Admission.
    (
        "policy = \"edf\"",
        "policy = \"edf\"\nadmission = \"no\"",
        "f:30: libos[1].admission: must be one of required, off (got \"no\")",
    ),
    (
        "policy = \"stride\"\nincome = 10\nwant = 4\n\n[[libos.clients]]\nname = \"a\"\nprogram = \"sha256\"\ntickets = 3\nreplicate = true\n\n[[libos.clients]]\nname = \"b\"\nprogram = \"matmul\"\ntickets = 2\ncore = 1\n",
        "policy = \"none\"\nprogram = \"x\"\nadmission = \"off\"\nincome = 10\nwant = 4\n",
        "f:13: libos[0].admission: policy none takes no clients on",
    ),
    ("budget_us = 1000\n", "", "f:35: libos[1].clients[0].budget_us: is missing"),
    ("period_us = 10000\n", "", "f:35: libos[1].clients[0].period_us: is missing"),
    (
        "replicate = true",
        "replicate = true\ncore = 0",
        "f:20: libos[0].clients[0].core: a client lives on one core or is replicated to all, not both",
    ),
    ("policy = \"stride\"", "policy = \"none\"", "f:9: libos[0].program: is missing"),
    (
        "policy = \"stride\"",
        "policy = \"none\"\nprogram = \"x\"",
        "f:16: libos[0].clients: policy none has no clients",
    ),
    (
        "policy = \"stride\"",
        "policy = \"stride\"\ncalls = 1",
        "f:12: libos[0].calls: policy stride makes no calls of chance: policy none does",
    ),
    // Names.
    (
        "name = \"test\"",
        "name = \"Test run\"",
        "f:1: name: must be 1 to 32 of the characters a-z, 0-9 and - (got \"Test run\")",
    ),
    (
        "name = \"bad\"",
        "name = \"shares\"",
        "f:42: hostile[0].name: \"shares\" is already the name of libos[0]",
    ),
    ("name = \"bad\"", "name = \"idle\"", "f:42: hostile[0].name: \"idle\" is a name of the system's own"),
    (
        "name = \"b\"",
        "name = \"a\"",
        "f:22: libos[0].clients[1].name: \"a\" is already the name of libos[0].clients[0]",
    ),
    (
        "name = \"b\"",
        "name = \"a/1\"",
        "f:22: libos[0].clients[1].name: must be 1 to 32 of the characters a-z, 0-9 and - (got \"a/1\")",
    ),
    // Times.
    ("slots = 10", "slots = 10\nquantum_us = 100000\ngrace_us = 1\nseed = 2", ""),
    (
        "slots = 10",
        "slots = 11\nquantum_us = 100000",
        "f:2: duration_ms: must hold a revolution of 1100000 us (got 1000 ms)",
    ),
    ("slots = 10", "slots = 10\ngrace_us = 501", "f:5: grace_us: must be at most 500, half a slot (got 501)"),
    (
        "arrives_ms = 100\nleaves_ms = 900",
        "arrives_ms = 1000",
        "f:32: libos[1].arrives_ms: must be before the end at 1000 (got 1000)",
    ),
    (
        "leaves_ms = 900",
        "leaves_ms = 100",
        "f:33: libos[1].leaves_ms: must be after arrives_ms = 100 and at most 1000 (got 100)",
    ),
    (
        "leaves_ms = 900",
        "leaves_ms = 1001",
        "f:33: libos[1].leaves_ms: must be after arrives_ms = 100 and at most 1000 (got 1001)",
    ),
    (
        "[200, 400]",
        "[200, 200]",
        "f:45: hostile[0].asked_ms[1]: must be later than the one before, 200 (got 200)",
    ),
    (
        "[200, 400]",
        "[980]",
        "f:45: hostile[0].asked_ms[0]: must leave the broker's patience of 20 ms before the end at 1000 (got 980)",
    ),
    (
        "[200, 400]",
        "[200, 400, 600]",
        "f:41: hostile[0].asked_slots: it is asked for 3 slots in all and has 2",
    ),
    (
        "budget_us = 1000",
        "budget_us = 1000\ndeadline_us = 999",
        "f:38: libos[1].clients[0].budget_us: must be at most deadline_us = 999 (got 1000)",
    ),
    (
        "budget_us = 1000",
        "budget_us = 1000\ndeadline_us = 10001",
        "f:39: libos[1].clients[0].deadline_us: must be at most period_us = 10000 (got 10001)",
    ),
    (
        "budget_us = 1000",
        "budget_us = 1000\nwork_us = 1001",
        "f:39: libos[1].clients[0].work_us: must be at most budget_us = 1000 (got 1001)",
    ),
    // Slots, cores, sizes.
    ("slots = 2", "slots = 10", "f:4: slots: the broker's and the hostile's slots are 11 of 10 of a core"),
    ("want = 4", "want = 11", "f:13: libos[0].want: must be at most 10, the slots of a core (got 11)"),
    ("want = 4", "want = 4\nminimum = 5", "f:14: libos[0].minimum: must be at most want = 4 (got 5)"),
    (
        "want = 4",
        "want = 9\nminimum = 6",
        "f:32: libos[1].minimum: when it arrives, at 100 ms, 11 slots of a core are promised and there are 10",
    ),
    ("slots = 1\n", "slots = 1\nmode = \"static\"\n", ""),
    (
        "slots = 1\n\n[[libos]]\nname = \"shares\"\npolicy = \"stride\"\nincome = 10\nwant = 4",
        "slots = 1\nmode = \"static\"\n[[libos]]\nname = \"shares\"\npolicy = \"stride\"\nwant = 6",
        "f:29: libos[1].want: when it arrives, at 100 ms, 11 slots of a core are promised and there are 10",
    ),
    (
        "income = 10\n",
        "",
        "f:9: libos[0].income: must be at least 1 to bid for more than the minimum (got 0)",
    ),
    ("core = 1", "core = 2", "f:25: libos[0].clients[1].core: must be below 2, the number of cores (got 2)"),
    (
        "trace = false",
        "trace = true",
        "f:7: broker.slots: must be at least 2 (got 1), because the run is recorded and the tracer works in one of them; \
         trace = false records nothing",
    ),
    (
        "budget_us = 1000",
        "budget_us = 2001",
        "f:31: libos[1].minimum: its clients need 20.0 % of core 0 and 2 slots are 20.0 %",
    ),
    (
        "tickets = 2",
        "tickets = 2\nframes = 120000",
        "f:9: libos: all together need 125504 frames, and there are 114688",
    ),
    // Criticality.
    ("budget_us = 1000", "budget_us = 1000\ncriticality = 3", ""),
    (
        "budget_us = 1000",
        "budget_us = 1000\ncriticality = 256",
        "f:39: libos[1].clients[0].criticality: must be at most 255 (got 256)",
    ),
    (
        "tickets = 2",
        "criticality = 3",
        "f:24: libos[0].clients[1].criticality: means nothing under stride, which guarantees no deadlines: leave it out (got 3)",
    ),
    (
        "want = 2\nminimum = 2",
        "want = 2\nminimum = 2\n[[libos.clients]]\nname = \"c\"\nprogram = \"spin\"\ncriticality = 3\n[[libos]]\nname = \"e\"\npolicy = \"edf\"\nwant = 1\nminimum = 1",
        "f:35: libos[1].clients[0].criticality: means nothing of a client without deadline, which is never shed: leave it out (got 3)",
    ),
];
