//! `meshtide sql` and the examples of docs/sql.md, by the real binary: against a server with a simulated mesh, and
//! against the directory it leaves behind.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running server. Dropping it kills the process.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data_dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let listen = format!("127.0.0.1:{port}");
        let child = meshtide()
            .args(["serve", "--http-listen", &listen, "--data-dir"])
            .arg(data_dir)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            url: format!("http://{listen}"),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !sql(&["SELECT 1", "--url", &server.url]).status.success() {
            assert!(Instant::now() < deadline, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn simulate(&self) {
        let target = format!("{}/api/v1/write", self.url);
        let simulated = meshtide()
            .args([
                "simulate",
                "--services",
                "0",
                "--backfill",
                "20m",
                "--live",
                "false",
                "--quiet",
            ])
            .args(["--remote-write", &target])
            .output()
            .unwrap();
        assert!(simulated.status.success(), "{}", errors(&simulated));
    }

    fn ask(&self, statement: &str, format: &str) -> String {
        let output = sql(&[statement, "--url", &self.url, "--format", format]);
        assert!(output.status.success(), "{statement}: {}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn meshtide() -> Command {
    Command::new(env!("CARGO_BIN_EXE_meshtide"))
}

fn sql(arguments: &[&str]) -> Output {
    meshtide().arg("sql").args(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The statements of the page.
fn examples() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sql\n").skip(1);
    blocks
        .map(|block| block.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_examples_of_the_page_work_on_a_server_and_on_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.simulate();
    let examples = examples();
    assert!(examples.len() >= 10, "{} examples", examples.len());
    for example in &examples {
        let rows = server.ask(example, "csv");
        assert!(rows.lines().count() > 1, "no rows: {example}");
    }
    formats_agree(&server);
    mistakes_are_told(&server, folder.path());
    let question = "SELECT metric, count(*) AS n, sum(value) AS total FROM samples \
                    WHERE metric LIKE 'istio%total' GROUP BY metric ORDER BY metric";
    let from_server = server.ask(question, "csv");
    server.stop();
    let before = files(folder.path());
    let directory = folder.path().to_str().unwrap();
    let output = sql(&[question, "--data-dir", directory, "--format", "csv"]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), from_server);
    assert_eq!(files(folder.path()), before, "the directory was changed");
}

fn formats_agree(server: &Server) {
    let question = "SELECT 'a' AS name, 1.5 AS number, NULL AS nothing, '' AS empty \
                    UNION ALL SELECT 'b,\"c\"', 'NaN'::double, NULL, 'd' ORDER BY name";
    assert_eq!(
        server.ask(question, "csv"),
        "name,number,nothing,empty\r\na,1.5,,\"\"\r\n\"b,\"\"c\"\"\",NaN,,d\r\n"
    );
    let json = server.ask(question, "json");
    for part in [
        r#"{"name":"number","type":"double"}"#,
        r#"["a",1.5,null,""]"#,
        r#"["b,\"c\"","NaN",null,"d"]"#,
    ] {
        assert!(json.contains(part), "{json}");
    }
    let table = server.ask(question, "table");
    assert!(table.contains("name") && table.contains("(2 rows)"), "{table}");
    let arrow = sql(&[question, "--url", &server.url, "--format", "arrow"]);
    assert!(arrow.status.success() && arrow.stdout.starts_with(&[0xff, 0xff, 0xff, 0xff]));
}

fn mistakes_are_told(server: &Server, data_dir: &Path) {
    let directory = data_dir.to_str().unwrap();
    let check = |arguments: &[&str], code: i32, says: &str| {
        let output = sql(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            errors(&output)
        );
        assert!(
            errors(&output).contains(says),
            "{arguments:?}: {}",
            errors(&output)
        );
    };
    check(&["SELECT 1", "--data-dir", directory], 1, "--url");
    check(&["SELECT nothing", "--url", &server.url], 1, "1:8");
    check(
        &["DROP TABLE samples", "--url", &server.url],
        1,
        "DROP is refused",
    );
    check(&["SELECT 1", "--url", "http://127.0.0.1:1"], 1, "cannot reach");
    check(
        &["SELECT 1", "--url", "https://127.0.0.1:1"],
        1,
        "https is not supported",
    );
    check(
        &["SELECT 1", "--data-dir", "/nonexistent"],
        1,
        "no data directory",
    );
    check(&["SELECT 1"], 2, "--url");
}

/// Names and sizes of all files.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let size = entry.metadata().unwrap();
            if size.is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path().display().to_string(), size.len()));
            }
        }
    }
    found.sort();
    found
}
