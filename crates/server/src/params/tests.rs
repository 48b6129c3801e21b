use super::*;

fn form(url: &str, content_type: &str, body: impl Into<Body>) -> Result<Params, ApiError> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Params::from_request(request, &()))
}

#[test]
fn a_form_comes_before_the_url_and_both_count() {
    let params = form(
        "/q?query=url&match[]=c&stats=all",
        "application/x-www-form-urlencoded; charset=utf-8",
        "query=form+1%2B1&match%5B%5D=a&match[]=b",
    )
    .unwrap();
    assert_eq!(params.get("query"), "form 1+1");
    assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(params.get("stats"), "all");
    let other = form("/q?query=url", "text/plain", "query=form").unwrap();
    assert_eq!(other.get("query"), "url");
}

#[test]
fn a_form_without_end_is_refused() {
    let error = form(
        "/q",
        "application/x-www-form-urlencoded",
        vec![b'a'; FORM_BYTES_MAX + 1],
    )
    .unwrap_err();
    assert!(
        error.message.starts_with("error parsing form values: "),
        "{error:?}"
    );
}

#[test]
fn times_are_float_seconds_or_rfc_3339() {
    let check = |text: &str, expected: i64| {
        assert_eq!(parse_time(text), Ok(expected), "{text}");
    };
    check("4", 4_000);
    check("1435781451.781", 1_435_781_451_781);
    check("1763700000.1234567", 1_763_700_000_123);
    check("-1.5", -1_500);
    check("1.0005", 1_000);
    check("1e3", 1_000_000);
    check("2015-07-01T20:10:51.781Z", 1_435_781_451_781);
    check("2015-07-01T22:10:51.781+02:00", 1_435_781_451_781);
    check("1763700000000", 1_763_700_000_000_000);
    check("1e300", TIME_MS_MAX);
    check("1_000", 1_000_000);
    for text in ["NaN", "nan", "Inf", "-inf", "+Infinity"] {
        check(text, -9_223_372_036_854);
    }
    for bad in ["", "foo", "0x10", "1__0", "_1", " 5", "2015-07-01", "1s"] {
        assert_eq!(
            parse_time(bad),
            Err(format!("cannot parse {bad:?} to a valid timestamp")),
        );
    }
}

#[test]
fn durations_are_float_seconds_or_have_units() {
    for (text, expected) in [
        ("15", 15_000_000_000),
        ("0.5", 500_000_000),
        ("0.0001", 100_000),
        ("1m0s", 60_000_000_000),
        ("15s", 15_000_000_000),
        ("-1", -1_000_000_000),
        ("NaN", i64::MIN),
    ] {
        assert_eq!(parse_duration(text), Ok(expected), "{text}");
    }
    for (bad, tail) in [
        ("", ""),
        ("x", ""),
        ("1e20", ". It overflows int64"),
        ("Inf", ". It overflows int64"),
    ] {
        assert_eq!(
            parse_duration(bad),
            Err(format!("cannot parse {bad:?} to a valid duration{tail}")),
        );
    }
}

#[test]
fn bad_parameters_are_named_as_prometheus_names_them() {
    fn check<T: std::fmt::Debug>(result: Result<T, ApiError>, expected: &str) {
        assert_eq!(result.unwrap_err(), ApiError::bad_data(expected));
    }
    let params = Params::of("time=foo&timeout=x&limit=x&lookback_delta=x&start=x");
    check(
        params.time_or("time", 0),
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "foo" to a valid timestamp"#,
    );
    check(
        params.timeout(),
        r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
    );
    check(
        params.limit(),
        r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#,
    );
    check(
        params.lookback_ms(),
        r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
    );
    check(
        params.time("start"),
        r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#,
    );
    check(
        params.duration_ns("step"),
        r#"invalid parameter "step": cannot parse "" to a valid duration"#,
    );
    check(
        Params::of("limit=-1").limit(),
        r#"invalid parameter "limit": limit must be non-negative"#,
    );
}

#[test]
fn durations_are_cut_as_prometheus_cuts_them() {
    let lookback = |text: &str| Params::of(&format!("lookback_delta={text}")).lookback_ms();
    assert_eq!(lookback("0.0001"), Ok(Some(0)));
    assert_eq!(lookback("0.0019"), Ok(Some(1)));
    assert_eq!(lookback("0"), Ok(None));
    assert_eq!(lookback("-5"), Ok(None));
    let timeout = |text: &str| Params::of(&format!("timeout={text}")).timeout();
    assert_eq!(timeout("-1"), Ok(Some(Duration::ZERO)));
    assert_eq!(timeout("NaN"), Ok(Some(Duration::ZERO)));
    assert_eq!(timeout("0.0001"), Ok(Some(Duration::from_micros(100))));
}

#[test]
fn what_is_left_out_has_its_default() {
    let params = Params::of("");
    assert_eq!(params.time_or("time", 7), Ok(7));
    assert_eq!(params.timeout(), Ok(None));
    assert_eq!(params.limit(), Ok(None));
    assert_eq!(params.lookback_ms(), Ok(None));
    assert_eq!(params.range(), Ok(TimeRange::ALL));
    assert_eq!(Params::of("limit=0").limit(), Ok(None));
    let range = Params::of("start=1&end=2").range().unwrap();
    assert!(range.contains(1_000) && range.contains(2_000));
}
