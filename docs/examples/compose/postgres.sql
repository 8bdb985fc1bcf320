-- Run once, by PostgreSQL's superuser, when the database is still empty. The
-- password is read from its file by psql itself and stands in no command line.
\set password `head -n 1 /run/secrets/postgres-store.password`
SET log_statement = 'none';
SET password_encryption = 'scram-sha-256';
CREATE ROLE sekisho LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE sekisho OWNER sekisho TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE sekisho FROM PUBLIC;
