use model::TimeRange;

use super::*;

/// Samples every ten seconds, all inside the window.
#[track_caller]
fn evaluate(function: RangeFunction, values: &[f64]) -> Option<f64> {
    let timestamps: Vec<i64> = (0_i64..).map(|row| row * 10_053).take(values.len()).collect();
    function.evaluate(&Window {
        timestamps_ms: &timestamps,
        values,
        range: TimeRange {
            start_ms: -5_000,
            end_ms: 100_000,
        },
        evaluation_ms: 100_000,
    })
}

fn of(id: FunctionId) -> RangeFunction {
    RangeFunction::new(id, &[]).unwrap()
}

#[test]
fn every_function_of_a_range_vector_is_there() {
    use crate::ast::ValueType;
    use crate::function::FUNCTIONS;
    for function in FUNCTIONS {
        let takes_range = function.arguments.contains(&ValueType::Matrix);
        let found = RangeFunction::new(function.id, &[0.5, 0.5]);
        assert_eq!(found.is_ok(), takes_range, "{}", function.name);
    }
}

#[test]
fn an_empty_window_has_no_result() {
    use crate::function::FUNCTIONS;
    for function in FUNCTIONS {
        if let Ok(function) = RangeFunction::new(function.id, &[0.5, 0.5]) {
            assert_eq!(evaluate(function, &[]), None, "{function:?}");
        }
    }
}

#[test]
fn one_sample_suffices_where_it_does_in_prometheus() {
    use crate::function::FUNCTIONS;
    let mut without: Vec<&str> = Vec::new();
    for function in FUNCTIONS {
        if let Ok(kernel) = RangeFunction::new(function.id, &[0.5, 0.5])
            && evaluate(kernel, &[3.0]).is_none()
        {
            without.push(function.name);
        }
    }
    let expected = [
        "delta",
        "deriv",
        "double_exponential_smoothing",
        "idelta",
        "increase",
        "irate",
        "predict_linear",
        "rate",
    ];
    assert_eq!(without, expected);
}

#[test]
fn functions_are_wired_to_their_kernels() {
    let values = [1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 2.0, 1.0, 4.0];
    let check = |id: FunctionId, expected: f64| {
        let found = evaluate(of(id), &values).unwrap();
        assert!((found - expected).abs() < 1e-12, "{id:?}: {found}");
    };
    check(FunctionId::CountOverTime, 9.0);
    check(FunctionId::SumOverTime, 24.0);
    check(FunctionId::AvgOverTime, 24.0 / 9.0);
    check(FunctionId::MinOverTime, 0.0);
    check(FunctionId::MaxOverTime, 6.0);
    check(FunctionId::FirstOverTime, 1.0);
    check(FunctionId::LastOverTime, 4.0);
    check(FunctionId::PresentOverTime, 1.0);
    check(FunctionId::StdvarOverTime, 32.0 / 9.0);
    check(FunctionId::StddevOverTime, (32.0_f64 / 9.0).sqrt());
    check(FunctionId::MadOverTime, 1.0);
    check(FunctionId::Changes, 8.0);
    check(FunctionId::Resets, 3.0);
    check(FunctionId::Idelta, 3.0);
    check(FunctionId::Irate, 3.0 / 10.053);
    check(FunctionId::TsOfMinOverTime, 30.159);
    check(FunctionId::TsOfMaxOverTime, 50.265);
    check(FunctionId::TsOfFirstOverTime, 0.0);
    check(FunctionId::TsOfLastOverTime, 80.424);
}

#[test]
fn parameters_reach_their_kernels() {
    let quantile = RangeFunction::new(FunctionId::QuantileOverTime, &[0.75]).unwrap();
    assert_eq!(evaluate(quantile, &[0.0, 1.0, 4.0]), Some(2.5));
    let predict = RangeFunction::new(FunctionId::PredictLinear, &[53.0]).unwrap();
    assert!((evaluate(predict, &[0.0, 10.053, 20.106]).unwrap() - 153.0).abs() < 1e-9);
    let missing = RangeFunction::new(FunctionId::PredictLinear, &[]).unwrap_err();
    assert_eq!(
        missing,
        RangeFunctionError::MissingParameter(FunctionId::PredictLinear)
    );
}

#[test]
fn smoothing_factors_are_checked() {
    let error = |smoothing: f64, trend: f64| {
        let id = FunctionId::DoubleExponentialSmoothing;
        RangeFunction::new(id, &[smoothing, trend])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(0.0, 0.5),
        "invalid smoothing factor. Expected: 0 < sf < 1, got: 0.000000"
    );
    assert_eq!(
        error(0.5, 1.5),
        "invalid trend factor. Expected: 0 < tf < 1, got: 1.500000"
    );
    assert!(error(0.5, f64::INFINITY).ends_with("got: +Inf"));
}
