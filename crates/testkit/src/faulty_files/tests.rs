use super::*;

fn with_dir(seed: u64) -> FaultyFiles {
    let files = FaultyFiles::new(seed);
    files.create_dir(Path::new("/d")).unwrap();
    files
}

#[test]
fn synced_bytes_survive_every_crash() {
    for seed in 0..50 {
        let files = with_dir(seed);
        let path = Path::new("/d/f");
        let mut file = files.create(path).unwrap();
        files.sync_dir(Path::new("/d")).unwrap();
        file.write_all(&[1; 700]).unwrap();
        file.sync().unwrap();
        file.write_all(&[2; 2_000]).unwrap();
        files.crash();
        let left = files.read(path).unwrap();
        assert_eq!(left[..700], [1; 700], "seed {seed}");
        assert!(left[700..].iter().all(|byte| [0, 2].contains(byte)));
        assert!(file.write_all(&[3]).is_err());
    }
}

#[test]
fn unsynced_bytes_and_entries_are_lost_now_and_then() {
    let (mut shorter, mut holes, mut gone) = (0, 0, 0);
    for seed in 0..100 {
        let files = with_dir(seed);
        let path = Path::new("/d/f");
        files.create(path).unwrap().write_all(&[2; 2_000]).unwrap();
        files.crash();
        match files.read(path) {
            Ok(left) if left.len() < 2_000 => shorter += 1,
            Ok(left) if left.contains(&0) => holes += 1,
            Ok(_) => {}
            Err(_) => gone += 1,
        }
    }
    assert!(
        shorter > 5 && holes > 5 && gone > 20,
        "{shorter} shorter, {holes} with holes, {gone} gone"
    );
}

#[test]
fn a_later_sync_does_not_bring_back_what_a_failed_one_lost() {
    let files = with_dir(1);
    let path = Path::new("/d/f");
    let mut file = files.create(path).unwrap();
    files.sync_dir(Path::new("/d")).unwrap();
    file.write_all(&[1; 10]).unwrap();
    files.fail_at(files.n_operations(), Fault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(files.read(path).unwrap(), [1; 10], "the page cache still has it");
    files.crash();
    assert_eq!(files.read(path).unwrap(), [0; 10]);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let files = with_dir(1);
    files.set_bytes_max(Some(15));
    let mut file = files.create(Path::new("/d/f")).unwrap();
    file.write_all(&[1; 10]).unwrap();
    let error = file.write_all(&[2; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(files.read(Path::new("/d/f")).unwrap().len(), 15);
    files.set_bytes_max(None);
    file.write_all(&[2; 10]).unwrap();
}

#[test]
fn after_a_stop_nothing_works_until_the_crash() {
    let files = with_dir(1);
    let mut file = files.create(Path::new("/d/f")).unwrap();
    files.fail_at(files.n_operations(), Fault::Stop);
    assert!(file.write_all(&[1; 10]).is_err());
    assert!(file.sync().is_err());
    assert!(files.create(Path::new("/d/g")).is_err());
    files.crash();
    files.create(Path::new("/d/g")).unwrap();
}

#[test]
fn a_lock_is_held_once_and_ends_with_its_holder_or_the_process() {
    let files = with_dir(1);
    let path = Path::new("/d/lock");
    let held = files.lock(path).unwrap();
    assert_eq!(files.lock(path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(held);
    let old = files.lock(path).unwrap();
    files.kill();
    let _new = files.lock(path).unwrap();
    drop(old);
    assert!(
        files.lock(path).is_err(),
        "the old holder must not free the new lock"
    );
}

#[test]
fn directories_list_their_own_entries() {
    let files = with_dir(1);
    files.create_dir(Path::new("/d/sub")).unwrap();
    files.create(Path::new("/d/b")).unwrap();
    files.create(Path::new("/d/sub/c")).unwrap();
    assert_eq!(files.list(Path::new("/d")).unwrap(), ["b", "sub"]);
    assert!(files.list(Path::new("/e")).is_err());
    assert!(files.create(Path::new("/d/b")).is_err());
}
