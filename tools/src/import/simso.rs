//! Simulation files of SimSo (its `configuration/parser.py`): periodic tasks with worst-case execution times, times in
//! milliseconds, the duration in cycles. Refused are tasks of other kinds, execution times by chance or by caches, and processors of
//! unequal speed.

use super::render::policy;
use super::{Jobs, Mistakes, Set, Task, Wishes, whole_us};
use libos_core::scenario::Policy;
use roxmltree::{Document, Node};

/// The policies that stand for SimSo's schedulers, by the ends of their classes' names.
const SCHEDULERS: [(&str, Policy, Processors); 8] = [
    ("EDF_mono", Policy::Edf, Processors::One),
    ("RM_mono", Policy::RateMonotonic, Processors::One),
    ("P_EDF", Policy::Edf, Processors::Apart),
    ("P_RM", Policy::RateMonotonic, Processors::Apart),
    ("EDF", Policy::GlobalEdf, Processors::Together),
    ("RM", Policy::GlobalRateMonotonic, Processors::Together),
    ("EDZL", Policy::Edzl, Processors::Together),
    ("P_EDF2", Policy::Edf, Processors::Apart),
];

/// On how many processors such a scheduler lets a task run.
#[derive(Clone, Copy, PartialEq)]
enum Processors {
    One,
    Apart,
    Together,
}

/// What the elements may say, and, of what means nothing here, whether it counts if it is not 0.
const SIMULATION: [&str; 4] = ["duration", "cycles_per_ms", "etm", "use_wcet"];
const TASK: [&str; 9] =
    ["name", "id", "task_type", "periodic", "period", "activationDate", "WCET", "deadline", "abort_on_miss"];
/// Of models that are not used where execution times are the worst cases.
const UNUSED: [&str; 10] = [
    "list_activation_dates",
    "ACET",
    "et_stddev",
    "instructions",
    "mix",
    "base_cpi",
    "stack",
    "preemption_cost",
    "penalty_preemption",
    "penalty_migration",
];
/// What switches cost there.
const COSTS: [&str; 6] = [
    "cs_overhead",
    "cl_overhead",
    "migration_overhead",
    "overhead",
    "overhead_activate",
    "overhead_terminate",
];

struct Reader<'a> {
    document: &'a Document<'a>,
    mistakes: Mistakes,
    approximated: Vec<String>,
    ignored: Vec<String>,
}

/// The task set of a file's text.
pub fn read(text: &str, wishes: &Wishes) -> Result<Set, Mistakes> {
    let document = Document::parse(text).map_err(|error| vec![error.to_string()])?;
    let (mistakes, approximated, ignored) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = Reader { document: &document, mistakes, approximated, ignored };
    let set = reader.whole(wishes);
    match set {
        Some(set) if reader.mistakes.is_empty() => Ok(set),
        _ => Err(reader.mistakes),
    }
}

impl<'a> Reader<'a> {
    fn whole(&mut self, wishes: &Wishes) -> Option<Set> {
        let root = self.document.root_element();
        if root.tag_name().name() != "simulation" {
            self.mistake(root, "the file of a simulation begins with <simulation>");
            return None;
        }
        self.known(root, &SIMULATION);
        self.execution_times(root);
        let duration_ms = wishes.duration_ms.or_else(|| self.duration_ms(root));
        let processors = self.processors(root);
        let policy = self.scheduler(root, wishes, processors);
        for caches in root.children().filter(|child| child.has_tag_name("caches")) {
            if caches.children().any(|child| child.is_element()) {
                self.ignored.push("caches, for execution times are the worst cases".into());
            }
        }
        let tasks = self.tasks(root);
        let cores = wishes.cores.unwrap_or(processors);
        let (approximated, ignored) = (self.approximated.clone(), self.ignored.clone());
        Some(Set { duration_ms: duration_ms?, cores, policy: policy?, tasks, approximated, ignored })
    }

    fn mistake(&mut self, node: Node, what: impl std::fmt::Display) {
        let line = self.document.text_pos_at(node.range().start).row;
        self.mistakes.push(format!("line {line}: {what}"));
    }

    /// Complains of attributes that nobody knows, and notes those that mean nothing here.
    fn known(&mut self, node: Node<'a, 'a>, known: &[&str]) {
        let fields = node.parent().into_iter().flat_map(|parent| parent.children());
        let fields: Vec<_> = fields
            .filter_map(|field| field.attribute("name").filter(|_| field.has_tag_name("field")))
            .collect();
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            let nothing = value.is_empty() || value.parse() == Ok(0.0);
            let tag = node.tag_name().name();
            if known.contains(&name) || (nothing && !["period", "WCET", "deadline"].contains(&name)) {
                continue;
            }
            if UNUSED.contains(&name) || fields.contains(&name) {
                self.note_ignored(format!("{name} of <{tag}>"));
            } else if COSTS.contains(&name) {
                let what =
                    format!("{name} = {value} of <{tag}>: switches cost here what they cost the kernel");
                self.approximated.push(what);
            } else {
                self.mistake(
                    node,
                    format!("{name} = {value:?} of <{tag}> cannot be expressed: take it away"),
                );
            }
        }
    }

    fn note_ignored(&mut self, note: String) {
        if !self.ignored.contains(&note) {
            self.ignored.push(note);
        }
    }

    fn execution_times(&mut self, root: Node) {
        let wcet = match (root.attribute("etm"), root.attribute("use_wcet")) {
            (Some(model), _) => model == "wcet",
            (None, Some(word)) => ["true", "yes"].contains(&word),
            (None, None) => true,
        };
        if !wcet {
            self.mistake(
                root,
                "execution times by chance or by caches cannot be expressed: say etm=\"wcet\"",
            );
        }
    }

    fn duration_ms(&mut self, root: Node) -> Option<u32> {
        let number = |name, default: f64| match root.attribute(name) {
            None => Some(default),
            Some(word) => word.parse().ok().filter(|number: &f64| *number >= 1.0),
        };
        let (cycles, per_ms) = (number("duration", 50_000.0), number("cycles_per_ms", 1e6));
        let ms = cycles.zip(per_ms).map(|(cycles, per_ms)| (cycles / per_ms).ceil());
        let ms = ms.and_then(whole_us).filter(|ms| *ms > 0);
        if ms.is_none() {
            let what = "duration and cycles_per_ms must be numbers of cycles, at least 1";
            self.mistake(root, what);
        }
        ms
    }

    fn child(&mut self, root: Node<'a, 'a>, tag: &str) -> Option<Node<'a, 'a>> {
        let found = root.children().find(|child| child.has_tag_name(tag));
        if found.is_none() {
            self.mistake(root, format!("there is no <{tag}>"));
        }
        found
    }

    /// How many there are.
    fn processors(&mut self, root: Node<'a, 'a>) -> u32 {
        let Some(all) = self.child(root, "processors") else { return 1 };
        self.known(all, &[]);
        let mut count = 0;
        for processor in all.children().filter(|child| child.has_tag_name("processor")) {
            count += 1;
            self.known(processor, &["name", "id", "speed"]);
            if processor.attribute("speed").is_some_and(|speed| speed.parse() != Ok(1.0)) {
                self.mistake(processor, "cores have one speed here: say speed=\"1.0\", and change the WCETs");
            }
        }
        count.max(1)
    }

    fn scheduler(&mut self, root: Node<'a, 'a>, wishes: &Wishes, processors: u32) -> Option<Policy> {
        let sched = self.child(root, "sched")?;
        self.known(sched, &["class", "className"]);
        let class = sched.attribute("class").filter(|class| !class.is_empty());
        let class = class.or_else(|| sched.attribute("className")).unwrap_or_default();
        let name = class.rsplit(['.', '/']).find(|part| *part != "py").unwrap_or_default();
        let known = SCHEDULERS.iter().find(|(known, ..)| *known == name);
        let own = known.map(|(_, policy, _)| *policy).ok_or_else(|| {
            let known = SCHEDULERS.map(|(name, ..)| name).join(", ");
            format!(
                "no policy stands for the scheduler {class:?}, only for {known}: say which, with --policy"
            )
        });
        // One processor has nothing to share.
        let own = own.map(|own| match own {
            Policy::GlobalEdf if processors == 1 => Policy::Edf,
            Policy::GlobalRateMonotonic if processors == 1 => Policy::RateMonotonic,
            own => own,
        });
        let is_apart = wishes.policy.is_some_and(|policy| !policy.is_global());
        if let Some((name, _, Processors::Together)) = known.filter(|_| processors > 1 && is_apart) {
            self.approximated
                .push(format!("{name} lets a task run on every processor; here each is on one core"));
        }
        if let Some(policy) = wishes.policy {
            self.approximated
                .push(format!("the policy is {} by --policy; there it is {class}", policy.word()));
        }
        policy(wishes.policy, own).map_err(|why| self.mistake(sched, why)).ok()
    }

    fn tasks(&mut self, root: Node<'a, 'a>) -> Vec<Task> {
        let Some(all) = self.child(root, "tasks") else { return Vec::new() };
        let tasks: Vec<_> = all.children().filter(|child| child.has_tag_name("task")).collect();
        if tasks.is_empty() {
            self.mistake(all, "there are no tasks in it");
        }
        let aborts =
            tasks.iter().filter(|task| task.attribute("abort_on_miss").is_none_or(|word| word == "yes"));
        if aborts.count() > 0 {
            let what = "abort_on_miss: there a job ends at its deadline, done or not; here it goes on, so after a miss the runs differ";
            self.approximated.push(what.into());
        }
        tasks.into_iter().filter_map(|task| self.task(task)).collect()
    }

    fn task(&mut self, node: Node<'a, 'a>) -> Option<Task> {
        self.known(node, &TASK);
        let name = node.attribute("name").unwrap_or("task");
        let periodic = match (node.attribute("task_type"), node.attribute("periodic")) {
            (Some(kind), _) => kind == "Periodic",
            (None, word) => word != Some("no"),
        };
        if !periodic {
            let what = "releases at dates of a list cannot be expressed; for the least distance between them say task_type=\"Periodic\"";
            self.mistake(node, format!("task {name}: {what}"));
            return None;
        }
        let work = self.us(node, "WCET", None)?;
        let period = self.us(node, "period", None)?;
        let deadline = self.us(node, "deadline", None)?;
        let offset = self.us(node, "activationDate", Some(0))?;
        if work == 0 || period == 0 {
            self.mistake(node, format!("task {name}: WCET and period must be at least a microsecond"));
        } else if work > deadline || deadline > period {
            let what = "a scenario has WCET up to deadline up to period";
            self.mistake(node, format!("task {name}: {what} (got {work}, {deadline}, {period} us)"));
        }
        let tickets = (u64::from(work) * 1000 / u64::from(period.max(1))).clamp(1, 1000) as u32;
        let jobs = Some(Jobs { work, budget: None, period, deadline, offset });
        Some(Task { name: name.into(), cores: None, tickets, jobs })
    }

    /// A time, from milliseconds.
    fn us(&mut self, node: Node, name: &str, default: Option<u32>) -> Option<u32> {
        let Some(word) = node.attribute(name) else {
            if default.is_none() {
                self.mistake(node, format!("a task needs {name}"));
            }
            return default;
        };
        let us = word.parse::<f64>().ok().map(|ms| ms * 1000.0);
        let Some((us, whole)) = us.and_then(|us| Some((us, whole_us(us)?))) else {
            self.mistake(node, format!("{name} = {word:?} is no time in milliseconds that is possible here"));
            return None;
        };
        if (us - f64::from(whole)).abs() > 1e-6 * us.max(1.0) {
            self.approximated.push(format!("{name} = {word} ms is {whole} us"));
        }
        Some(whole)
    }
}
