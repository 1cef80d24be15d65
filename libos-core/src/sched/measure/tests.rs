//! Errors, bands and response times against published and hand-worked figures.
use super::*;
use std::vec::Vec;

#[test]
fn pairwise_error_is_the_distance_from_the_pairs_own_ratio() {
    let mut error = PairwiseError::default();
    error.begin(ClientId(0), 3);
    error.begin(ClientId(1), 1);
    error.charge(ClientId(0), Tick(1000)); // Should be 750.
    assert_eq!(error.worst(), Fraction::new(250, 1));
    error.charge(ClientId(0), Tick(2000)); // Should be 2250.
    error.charge(ClientId(1), Tick(1000));
    assert_eq!(error.worst(), Fraction::new(750, 1));
    assert_eq!(error.worst().milliquanta(Tick(1000)), 750);
}

#[test]
fn a_pair_starts_afresh_when_one_of_it_comes_back_and_other_pairs_go_on() {
    let mut error = PairwiseError::default();
    (0..3).for_each(|client| error.begin(ClientId(client), 1));
    error.charge(ClientId(0), Tick(10));
    error.end(ClientId(1));
    error.charge(ClientId(0), Tick(10));
    error.begin(ClientId(1), 1);
    error.charge(ClientId(0), Tick(4));
    assert_eq!(error.worst_of(ClientId(1)), Fraction::new(5, 1), "from the first ten ticks only");
    assert_eq!(error.worst_of(ClientId(2)), Fraction::new(12, 1));
}

#[test]
fn absolute_error_and_entitlement_follow_the_set_of_clients() {
    let mut error = ShareError::default();
    error.begin(ClientId(0), 1);
    error.begin(ClientId(1), 1);
    error.charge(ClientId(0), Tick(100));
    error.begin(ClientId(2), 2);
    error.charge(ClientId(2), Tick(80));
    assert_eq!(error.entitled(ClientId(0)), Tick(50 + 20));
    assert_eq!(error.entitled(ClientId(2)), Tick(40));
    assert_eq!(error.ran(ClientId(0)), Tick(100));
    assert_eq!(error.worst_of(ClientId(1)).ceiling(), Tick(70));
}

#[test]
fn the_published_bands_at_600_draws_are_where_two_sigma_ends() {
    // Ratio, and the band of measured ratios in hundredths.
    for (ratio, low, high) in [(1u64, 85, 118), (2, 169, 239), (3, 250, 366), (5, 407, 634), (10, 774, 1383)]
    {
        let inside: Vec<u64> =
            (1..600).filter(|wins| within_two_sigma(*wins, 600, ratio, ratio + 1)).collect();
        let measured = |wins: u64| (wins * 100) as f64 / (600 - wins) as f64;
        let (first, last) = (measured(inside[0]), measured(inside[inside.len() - 1]));
        let (before, after) = (measured(inside[0] - 1), measured(inside[inside.len() - 1] + 1));
        assert!(before <= f64::from(low) + 0.5 && f64::from(low) - 0.5 <= first, "{ratio}: {before} {first}");
        assert!(last <= f64::from(high) + 0.5 && f64::from(high) - 0.5 <= after, "{ratio}: {last} {after}");
    }
}

#[test]
fn wins_with_a_steady_stake_agree_with_the_binomial_band() {
    for wins in 0..=600 {
        let mut steady = Wins::default();
        for draw in 0..600 {
            steady.draw(3, 4, if draw < wins { Winner::This } else { Winner::Other });
        }
        assert_eq!(steady.within_two_sigma(), within_two_sigma(wins, 600, 3, 4), "{wins} wins");
    }
}

#[test]
fn responses_count_a_job_that_ends_after_its_deadline_as_a_miss() {
    let mut responses = Responses::default();
    responses.record(Tick(100), Tick(150), Tick(150));
    assert_eq!((responses.misses, responses.max_lateness), (0, 0));
    responses.record(Tick(200), Tick(250), Tick(257));
    let expected = Responses { jobs: 2, misses: 1, max_response: Tick(57), max_lateness: 7 };
    assert_eq!(responses, expected);
}

#[test]
fn lateness_is_negative_while_every_job_is_early() {
    let mut responses = Responses::default();
    responses.record(Tick(0), Tick(50), Tick(20));
    assert_eq!(responses.max_lateness, -30);
}
