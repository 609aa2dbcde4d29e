//! Connections to PostgreSQL with TLS, and with passwords from files.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use sqlx::Row;

use crate::{
    app::{Rung, TestDatabase},
    cluster::{self, Cluster},
    process::{self, Server},
    wait::eventually,
    websocket::WebSocket,
};

/// Every login but the superuser needs TLS and a password.
const ACCESS: &str = "host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
const CONFIGURATION: &str = "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n";
const ARGUMENTS: [&str; 2] = ["--refresh-cron", "0 0 0 1 1 *"];

/// A certificate authority: its signing key, and its own certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Puts a certificate for the name `localhost` and its key where the server looks for them.
    fn certify(&self, data: &Path) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer);
        let (certificate_file, key_file) = (data.join("server.crt"), data.join("server.key"));
        fs::write(&certificate_file, certificate.unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        // The server refuses a key that others can read, and one that is not its own.
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut chown = Command::new("chown");
        chown.arg(format!("--reference={}", data.display())).args([&certificate_file, &key_file]);
        assert!(chown.status().unwrap().success());
    }
}

fn file(database: &TestDatabase, name: &str, text: &str) -> String {
    let path = database.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_connections_follow_sslmode() {
    let authority = Authority::new();
    let cluster = Cluster::start_with(|data| {
        authority.certify(data);
        fs::write(data.join("pg_hba.conf"), ACCESS).unwrap();
        let configuration = data.join("postgresql.conf");
        let usual = fs::read_to_string(&configuration).unwrap();
        fs::write(configuration, usual + CONFIGURATION).unwrap();
    });
    let admin = TestDatabase::create_in(&cluster).await;
    let passwords = file(&admin, "passwords", "increments one\nreports  the second \nwolf 3\n");
    process::succeed(&admin, &["migrate", "--roles", "--role-passwords-file", &passwords]);
    let (root, wrong_root) =
        (file(&admin, "root.pem", &authority.pem), file(&admin, "other.pem", &Authority::new().pem));
    let url = |service: &str, host: &str, parameters: &str| {
        let url = admin.url.replace("postgres@127.0.0.1", &format!("analytics_{service}@{host}"));
        let folder = tempfile::tempdir().unwrap();
        TestDatabase { url: format!("{url}?{parameters}"), rung: Rung::MaterializedView, folder }
    };

    // All that the services do, each with its login's password from a file; one file counts for both URLs.
    let verified = format!("sslmode=verify-full&sslrootcert={root}");
    let secrets = [("increments", "one\n"), ("reports", "the second"), ("wolf", "3\r\n")];
    let [increments, reports, wolf] = secrets.map(|(service, secret)| {
        let file = file(&admin, service, secret);
        let notify_url = url(service, "127.0.0.1", "sslmode=require").url;
        let arguments =
            ["--services", service, "--database-password-file", &file, "--notify-database-url", &notify_url];
        Server::start(&url(service, "localhost", &verified), &[&arguments[..], &ARGUMENTS].concat())
    });
    let mut socket = WebSocket::subscribed_to_freshness(&reports.address).await;
    let record = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
    increments.data(record, json!({})).await.unwrap();
    let secret = file(&admin, "wolf", "3");
    process::succeed(&url("wolf", "localhost", &verified), &["refresh", "--database-password-file", &secret]);
    let report = "{ freshness { refreshId } report { totals { views } } }";
    eventually("the report", async || reports.data(report, json!({})).await.unwrap()["report"]["totals"]["views"] == 1)
        .await;
    let freshness = reports.data(report, json!({})).await.unwrap();
    // The listener's connection works like the others.
    socket.freshness_after(freshness["freshness"]["refreshId"].as_str().unwrap().parse().unwrap()).await;
    let mut connection = cluster::connect(&admin.url).await;
    let listening = "SELECT count(*) FROM pg_stat_activity
                     WHERE usename = 'analytics_reports' AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')";
    eventually("the listener to be connected", async || {
        sqlx::query_scalar::<_, i64>(listening).fetch_one(&mut connection).await.unwrap() == 1
    })
    .await;
    let connections = "SELECT usename, bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                       WHERE application_name = 'analytics' GROUP BY 1 ORDER BY 1";
    let rows = sqlx::query(connections).fetch_all(&mut connection).await.unwrap();
    let logins: Vec<String> = rows.iter().map(|row| row.get::<String, _>(0)).collect();
    assert_eq!(logins, ["analytics_increments", "analytics_reports", "analytics_wolf"]);
    assert!(rows.iter().all(|row| row.get::<bool, _>(1)), "a connection has no TLS");
    drop([increments, reports, wolf]);

    // Each sslmode checks what it has to.
    let status = |host: &str, parameters: &str, secret: &str| {
        let secret = file(&admin, "secret", secret);
        let arguments = ["migrate", "status", "--database-password-file", &secret, "--database-timeout-ms", "5000"];
        let output = process::run(&url("wolf", host, parameters), &arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let wrong = format!("sslmode=verify-ca&sslrootcert={wrong_root}");
    for (host, parameters, secret, expected) in [
        ("localhost", verified.as_str(), "3", Ok(())),
        ("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={root}"), "3", Ok(())),
        ("127.0.0.1", "sslmode=require", "3", Ok(())),
        ("127.0.0.1", "sslmode=prefer", "3", Ok(())),
        ("127.0.0.1", "", "3", Ok(())),
        ("127.0.0.1", &verified, "3", Err((1, "certificate"))),
        ("localhost", &wrong, "3", Err((1, "certificate"))),
        ("localhost", "sslmode=verify-full", "3", Err((1, "certificate"))),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere", "3", Err((1, "can't open the database"))),
        ("127.0.0.1", "sslmode=disable", "3", Err((1, "no encryption"))),
        ("127.0.0.1", "sslmode=require", "hunter2", Err((1, "password authentication failed"))),
        ("127.0.0.1", "sslmode=hunter2", "3", Err((2, "can't be read"))),
    ] {
        let (code, stderr) = status(host, parameters, secret);
        let (expected, reason) = expected.err().unwrap_or((0, ""));
        assert_eq!(code, expected, "{host} {parameters}: {stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("hunter2"), "{host} {parameters}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_tls_or_password_is_an_error_with_the_reason() {
    let plain = TestDatabase::create(Rung::MaterializedView).await;
    let with_tls = TestDatabase {
        url: format!("{}?sslmode=require", plain.url),
        rung: plain.rung,
        folder: tempfile::tempdir().unwrap(),
    };
    let sqlite = TestDatabase::create(Rung::Sqlite).await;
    let secret = file(&plain, "secret", "x");
    for (database, arguments, code, reason) in [
        (&with_tls, &["migrate", "status"][..], 1, "does not support TLS"),
        (
            &plain,
            &["migrate", "status", "--database-password-file", "nowhere"],
            2,
            "can't read the password file nowhere",
        ),
        (&sqlite, &["migrate", "status", "--database-password-file", &secret], 2, "an SQLite file has no password"),
    ] {
        let output = process::run(database, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
}
