use super::*;

fn seeded(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128_with_seed(bytes, 77)
}

#[test]
fn a_request_comes_back_and_its_keys_are_stable() {
    let limits = Limits::default();
    let keys = SeriesKeys::new(seeded, limits.labels_per_series);
    let sample = Sample {
        timestamp_ms: 1_700_000_000_000,
        value: 3.5,
        start_timestamp_ms: 12,
    };
    let mut found = Vec::new();
    for filler in ["", "filler", "other filler"] {
        let mut encoder = Encoder::default();
        encoder.symbol(filler);
        let refs: Vec<u32> = ["__name__", "up", "job", "mesh"]
            .iter()
            .map(|text| encoder.symbol(text))
            .collect();
        let metadata = MetadataRefs {
            metric_type: MetricType::Counter,
            help_ref: encoder.symbol("Helps."),
            unit_ref: 0,
        };
        encoder.push_series(&refs, &[sample], Some(metadata));
        let mut body = Vec::new();
        encoder.write_body(&mut body);

        let request = Request::parse(&body, &limits).unwrap();
        let series = request.series().next().unwrap().unwrap();
        let labels = series.labels(request.symbols(), &limits).unwrap();
        assert_eq!(labels.as_slice(), [("__name__", "up"), ("job", "mesh")]);
        assert_eq!(series.samples().map(Result::unwrap).collect::<Vec<_>>(), [sample]);
        let metadata = series.metadata(request.symbols()).unwrap().unwrap();
        assert_eq!(
            (metadata.metric_type, metadata.help, metadata.unit),
            (MetricType::Counter, "Helps.", "")
        );
        let mut hashes = SymbolHashes::default();
        keys.hash_symbols(request.symbols(), &mut hashes);
        found.push(keys.key(&series, &hashes).unwrap());
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}
