use proptest::prelude::*;

use super::*;

const INF: f64 = f64::INFINITY;

fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
    let bucket = |&(upper_bound, count): &(f64, f64)| Bucket { upper_bound, count };
    pairs.iter().map(bucket).collect()
}

#[track_caller]
fn check(phi: f64, pairs: &[(f64, f64)], expected: f64) -> Option<Repair> {
    let found = quantile(phi, &mut buckets(pairs));
    let close = (found.value - expected).abs() < 1e-9 || found.value == expected;
    assert!(
        close || (found.value.is_nan() && expected.is_nan()),
        "{} instead of {expected}",
        found.value
    );
    found.repair
}

/// From histograms.test.
const POSITIVE: [(f64, f64); 4] = [(0.1, 50.0), (0.2, 70.0), (1.0, 110.0), (INF, 120.0)];
const NEGATIVE: [(f64, f64); 4] = [(-0.2, 10.0), (-0.1, 20.0), (0.3, 20.0), (INF, 30.0)];

#[test]
fn quantiles_are_linear_within_a_bucket() {
    for (phi, positive, negative) in [
        (0.0, 0.0, -0.2),
        (0.2, 0.048, -0.2),
        (0.5, 0.15, -0.15),
        (0.8, 0.72, 0.3),
        (1.0, 1.0, 0.3),
        (-0.1, -INF, -INF),
        (1.01, INF, INF),
        (f64::NAN, f64::NAN, f64::NAN),
    ] {
        assert_eq!(check(phi, &POSITIVE, positive), None);
        assert_eq!(check(phi, &NEGATIVE, negative), None);
    }
    let thirds = [(0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (6.0, 3.0), (INF, 3.0)];
    for (phi, expected) in [(1.0 / 6.0, 1.0), (0.5, 3.0), (5.0 / 6.0, 5.0)] {
        check(phi, &thirds, expected);
    }
}

#[test]
fn equal_bounds_are_added_up_in_any_order() {
    let mixed = [(INF, 40.0), (0.2, 10.0), (0.1, 10.0), (0.2, 10.0), (0.2, 10.0)];
    for (phi, expected) in [(0.5, 0.15), (0.75, 0.2), (1.0, 0.2)] {
        check(phi, &mixed, expected);
    }
}

#[test]
fn without_observations_or_infinity_there_is_no_quantile() {
    check(0.5, &[], f64::NAN);
    check(0.5, &[(INF, 3.0)], f64::NAN);
    check(0.5, &[(INF, 1.0), (INF, 2.0)], f64::NAN);
    check(0.5, &[(1.0, 3.0), (2.0, 4.0)], f64::NAN);
    check(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
    check(-1.0, &[(1.0, 0.0)], -INF);
}

#[test]
fn falling_counts_are_raised_and_reported() {
    let falling = [
        (0.1, 20.0),
        (1.0, 10.0),
        (10.0, 50.0),
        (100.0, 40.0),
        (1000.0, 90.0),
        (INF, 80.0),
    ];
    for (phi, expected) in [(0.01, 0.0045), (0.5, 8.5), (0.99, 979.75)] {
        let repair = check(phi, &falling, expected).unwrap();
        assert_eq!(
            (repair.lowest_bound, repair.highest_bound, repair.largest_drop),
            (1.0, INF, 10.0)
        );
    }
}

#[test]
fn rounding_errors_are_levelled_silently() {
    let mut counts = [1.0, 1.0 - 1e-13, 1.0 + 1e-13, 2.0];
    let found = quantile_of_sorted(0.5, &[1.0, 2.0, 3.0, INF], &mut counts);
    assert_eq!((found.value, found.repair), (1.0, None));
    assert_eq!(counts, [1.0, 1.0, 1.0, 2.0]);
    let mut counts = [1.0, 1.0 - 1e-11, INF];
    assert!(
        quantile_of_sorted(0.5, &[1.0, 2.0, INF], &mut counts)
            .repair
            .is_some()
    );
    assert!(almost_equal(f64::NAN, f64::NAN) && !almost_equal(0.0, 1e-300) && !almost_equal(INF, -INF));
}

#[test]
fn fractions_follow_the_conformance_tests() {
    #[track_caller]
    fn check(lower: f64, upper: f64, pairs: &[(f64, f64)], expected: f64) {
        let found = fraction(lower, upper, &mut buckets(pairs));
        let close = (found - expected).abs() < 1e-12;
        assert!(
            close || (found.is_nan() && expected.is_nan()),
            "{found} instead of {expected}"
        );
    }
    let positive = [(1.0, 1.0), (2.0, 3.0), (3.0, 6.0), (INF, 100.0)];
    let negative = [(-3.0, 10.0), (-2.0, 12.0), (-1.0, 15.0), (INF, 100.0)];
    let crossing = [(-2.0, 5.0), (-1.0, 10.0), (0.0, 15.0), (1.0, 20.0), (INF, 100.0)];
    check(0.0, 1.5, &positive, 0.02);
    check(-4.0, -2.0, &negative, 0.02);
    check(-INF, -1.5, &negative, 0.135);
    check(-INF, INF, &positive, 1.0);
    check(-INF, INF, &negative, 1.0);
    check(4.0, 5.0, &positive, 0.0);
    check(0.0, 1.0, &negative, 0.0);
    check(2.0, 5.0, &positive, 0.03);
    check(400.0, INF, &positive, 0.94);
    check(2.0, 2.0, &positive, 0.0);
    check(3.0, 2.0, &positive, 0.0);
    check(0.0, 1.0, &[(INF, 100.0)], 0.0);
    check(0.0, 5.0, &[(1.0, 0.0), (INF, 0.0)], f64::NAN);
    check(2.0, 3.5, &positive, 0.03);
    check(0.5, 2.0, &positive, 0.025);
    check(1.0, 3.0, &positive, 0.05);
    check(0.1, 0.75, &[(0.5, 2.5), (1.0, 7.5), (INF, 100.0)], 0.045);
    check(-1.0, 1.0, &crossing, 0.1);
    check(f64::NAN, 1.0, &positive, f64::NAN);
    check(0.0, f64::NAN, &positive, f64::NAN);
    check(-10.0, -5.0, &positive, 0.0);
    check(0.0, 1.0, &positive[..3], f64::NAN);
    check(0.0, 1.0, &[], f64::NAN);
}

#[test]
fn bounds_are_parsed_as_go_does() {
    let accepted = [
        ("0.1", 0.1),
        (".2", 0.2),
        ("1e0", 1.0),
        ("2.0e-1", 0.2),
        ("+5", 5.0),
        ("-0.25", -0.25),
        ("1.", 1.0),
        ("+Inf", INF),
        ("inf", INF),
        ("-INFINITY", -INF),
        ("1_000.5", 1000.5),
        ("0x1p-2", 0.25),
        ("-0X1.8P1", -3.0),
        ("0x_1p4", 16.0),
        ("0x1_0p0", 16.0),
        ("1e-999", 0.0),
        ("0x1fffffffffffffffp0", 2305843009213693952.0),
    ];
    for (text, expected) in accepted {
        assert_eq!(parse_bound(text), Some(expected), "{text}");
    }
    assert!(parse_bound("NaN").unwrap().is_nan() && parse_bound("nan").unwrap().is_nan());
    let refused = [
        "",
        " 1",
        "1 ",
        "Hello World",
        "+NaN",
        "1e999",
        "-1e999",
        "0x10",
        "0xp1",
        "1__0",
        "_1",
        "1_",
        "1_.5",
        "0x1p",
        "--1",
        "+-1",
        "infinit",
        "1e",
        ".",
        "e5",
        "1,5",
        "0x1p99999",
        "1e5n",
        "٣",
    ];
    for text in refused {
        assert_eq!(parse_bound(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_quantile_lies_within_the_bounds_and_rises_with_phi(
        gaps in prop::collection::vec((0.01_f64..10.0, 0_u32..50), 1..30),
        phis in prop::collection::vec(0.0_f64..=1.0, 2..6),
    ) {
        let mut bounds = Vec::new();
        let mut counts = Vec::new();
        let (mut bound, mut count) = (0.0, 0.0);
        for (gap, rise) in gaps {
            bound += gap;
            count += f64::from(rise);
            bounds.push(bound);
            counts.push(count);
        }
        bounds.push(INF);
        counts.push(count + 1.0);
        let mut phis = phis;
        phis.sort_by(f64::total_cmp);
        let mut previous = 0.0;
        for phi in phis {
            let found = quantile_of_sorted(phi, &bounds, &mut counts.clone());
            prop_assert!(found.repair.is_none());
            prop_assert!(found.value >= previous - 1e-9 && found.value <= bound);
            previous = found.value;
        }
    }

    #[test]
    fn parsing_never_panics_and_agrees_with_rust_on_plain_numbers(text in "[-+0-9a-fA-FxXpP._ein]{0,12}", number in any::<f64>()) {
        prop_assert!(parse_bound(&text).is_none_or(|bound| bound.is_finite() || text.contains(['i', 'n'])));
        if number.is_finite() {
            prop_assert_eq!(parse_bound(&format!("{number:e}")).map(f64::to_bits), Some(number.to_bits()));
        }
    }
}
