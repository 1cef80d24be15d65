//! `./just taskset`: a random set of periodic tasks, as a scenario. UUniFast-Discard (Bini and Buttazzo, Real-Time Systems
//! 30, 2005; Davis and Burns 2009, for sets above one task's whole core) for utilisations, log-uniform periods
//! (Emberson, Stafford and Davis, WATERS 2010).
//!
//! Not here: running it.

use libos_core::chance;

/// Sets drawn before it is given up: with so many tasks at such a utilisation hardly any has all of them within bounds.
const MOST_DRAWS: usize = 100_000;

/// What kind of set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// Tasks.
    pub count: usize,
    /// Of all tasks together; may be above 1.
    pub utilisation: f64,
    /// Most that one task may have of it.
    pub most_each: f64,
    /// The shortest and the longest period, in microseconds.
    pub periods_us: (u32, u32),
}

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// CPU time of a job, in microseconds, at least 1.
    pub work_us: u32,
    /// Time between releases, in microseconds; the deadline too.
    pub period_us: u32,
}

/// Numbers from 0 up to, not including, 1.
fn unit(state: &mut u64) -> f64 {
    (chance::draw(state) >> 11) as f64 / (1u64 << 53) as f64
}

/// Utilisations of so many tasks with this sum, all sets with that sum being equally likely: UUniFast.
fn uunifast(state: &mut u64, count: usize, sum: f64) -> Vec<f64> {
    let mut left = sum;
    let mut all = Vec::with_capacity(count);
    for others in (1..count).rev() {
        let next = left * unit(state).powf(1.0 / others as f64);
        all.push(left - next);
        left = next;
    }
    all.push(left);
    all
}

/// A set of a kind; `state` is of [`chance::draw`]. None if no set of the kind turns up.
pub fn draw(kind: &Kind, state: &mut u64) -> Option<Vec<Task>> {
    let sets = std::iter::repeat_with(|| uunifast(state, kind.count.max(1), kind.utilisation));
    let parts = sets.take(MOST_DRAWS).find(|set| set.iter().all(|part| *part <= kind.most_each))?;
    let (shortest, longest) = (f64::from(kind.periods_us.0), f64::from(kind.periods_us.1));
    let task = |part: f64| {
        let period = shortest * (longest / shortest).powf(unit(state));
        Task { work_us: (part * period).round().max(1.0) as u32, period_us: period.round() as u32 }
    };
    Some(parts.into_iter().map(task).collect())
}

/// The budget for jobs of so much work: with room for what the kernel and the switches cost, as far as there is any in `within`.
pub fn budget_us(work_us: u32, within: u32) -> u32 {
    work_us.saturating_add(work_us / 10 + 100).min(within).max(work_us)
}

/// A scenario of these tasks on one core, under EDF without admission. Tickets are utilisations in thousandths, so that a
/// policy that divides by tickets divides as the tasks need.
pub fn scenario(name: &str, comment: &str, tasks: &[Task]) -> String {
    let mut text = format!(
        "# {comment}\n\nname = \"{name}\"\nduration_ms = 3000\ncores = 1\nslots = 50\n\n[broker]\nmode = \"static\"\nslots = 2\n\n\
         [[libos]]\nname = \"tasks\"\npolicy = \"edf\"\nadmission = \"off\"\nwant = 48\n"
    );
    for (number, Task { work_us, period_us }) in tasks.iter().enumerate() {
        let budget_us = budget_us(*work_us, *period_us);
        let tickets = (u64::from(*work_us) * 1000 / u64::from((*period_us).max(1))).max(1);
        text += &format!(
            "\n[[libos.clients]]\nname = \"task-{}\"\nprogram = \"spin\"\ntickets = {tickets}\nperiod_us = {period_us}\n\
             budget_us = {budget_us}\nwork_us = {work_us}\n",
            number + 1
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_rt::admission;
    use libos_rt::deadlines::Order;
    use libos_rt::edf::EarliestDeadline;
    use libos_rt::rate_monotonic::ShortestPeriod;
    use libos_rt::supply::Supply;

    fn of(utilisation: f64, count: usize) -> Kind {
        Kind { count, utilisation, most_each: 1.0, periods_us: (10_000, 1_000_000) }
    }

    /// The part of so many sets of ten tasks that an analysis accepts.
    fn accepted<O: Order>(utilisation: f64, sets: usize) -> f64 {
        let mut state = chance::seed(&[sets as u64]);
        let fits = |tasks: Vec<Task>| {
            let task = |task: Task| {
                let (budget, period) = (u64::from(task.work_us), u64::from(task.period_us));
                admission::Task { budget, period, deadline: period }
            };
            let tasks: Vec<_> = tasks.into_iter().map(task).collect();
            O::schedulable(&tasks, &Supply::whole_core())
        };
        let count = (0..sets).filter(|_| fits(draw(&of(utilisation, 10), &mut state).unwrap())).count();
        count as f64 / sets as f64
    }

    #[test]
    fn rate_monotonic_accepts_as_many_random_sets_as_published() {
        // 2000 sets a point in the reference as here: both have a sigma of at most 0.011.
        for (utilisation, published) in [(0.80, 1.0), (0.85, 0.985), (0.90, 0.875), (0.95, 0.416)] {
            let accepted = accepted::<ShortestPeriod>(utilisation, 2000);
            assert!(
                (accepted - published).abs() < 0.04,
                "{accepted} at {utilisation}, {published} published"
            );
        }
        assert!(accepted::<ShortestPeriod>(1.0, 200) < 0.02);
    }

    #[test]
    fn earliest_deadline_first_accepts_every_set_below_one() {
        assert_eq!(accepted::<EarliestDeadline>(0.95, 100), 1.0);
    }

    #[test]
    fn utilisations_add_up_and_none_is_above_its_bound() {
        let mut state = chance::seed(&[4]);
        for utilisation in [0.3, 0.8, 1.3] {
            let kind = Kind { most_each: 0.6, ..of(utilisation, 5) };
            let tasks = draw(&kind, &mut state).unwrap();
            let part = |task: &Task| f64::from(task.work_us) / f64::from(task.period_us);
            assert!((tasks.iter().map(part).sum::<f64>() - utilisation).abs() < 0.001);
            assert!(
                tasks.iter().all(|task| part(task) < 0.601 && (10_000..=1_000_000).contains(&task.period_us))
            );
        }
        assert_eq!(draw(&Kind { most_each: 0.1, ..of(1.0, 5) }, &mut state), None);
    }

    #[test]
    fn periods_are_log_uniform() {
        let mut state = chance::seed(&[5]);
        let tasks = draw(&Kind { most_each: 1.0, ..of(0.5, 4000) }, &mut state).unwrap();
        let below = tasks.iter().filter(|task| task.period_us < 100_000).count();
        assert!((1900..2100).contains(&below), "{below} of 4000 below the geometric mean");
    }

    #[test]
    fn what_is_printed_is_a_good_scenario() {
        let kind = Kind { most_each: 0.9, periods_us: (10_000, 100_000), ..of(1.2, 5) };
        for seed in 0..20 {
            let tasks = draw(&kind, &mut chance::seed(&[seed])).unwrap();
            let text = scenario("tasks", "A comment", &tasks);
            let read = crate::scenario::parse(&text, None, None);
            assert!(read.is_ok(), "{read:?}\n{text}");
            assert_eq!(read.unwrap().libos[0].clients.len(), 5);
        }
    }
}
