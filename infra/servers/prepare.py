"""Makes databases and buckets ready: `python -m infra.servers.prepare`; what is there already stays.

PostgreSQL is reached as its administrator through PG* variables, the store through AWS_ENDPOINT_URL and AWS_*. Each
server has a role and databases of its own. A changed password of the environment becomes the role's password.
"""

import os
import sys

import boto3
import psycopg2
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import sql

DATABASES = {"prefect": ("prefect",), "mlflow": ("mlflow", "mlflow_auth")}
"""Role: its databases. A role's password is in <ROLE>_DB_PASSWORD."""
BUCKETS = ("mlflow", "dvc")
LOCK = 7_262_001  # any number that nobody else locks by


def databases() -> None:
    """Roles with their passwords, and databases that only their owner may enter."""
    connection = psycopg2.connect(dbname="postgres", connect_timeout=10)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # others may prepare at the same time
        for role, names in DATABASES.items():
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            act = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
            cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                act, sql.Identifier(role), sql.Literal(os.environ[f"{role.upper()}_DB_PASSWORD"])))
            for name in names:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if not cursor.fetchone():
                    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(name), sql.Identifier(role)))
                    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    connection.close()


def store():
    """A client of the S3-compatible store; buckets are in the path, as stores without wild-card names want it."""
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}))


def buckets() -> None:
    client = store()
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in BUCKETS:
        if name not in there:
            client.create_bucket(Bucket=name)


if __name__ == "__main__":
    try:
        databases()
        buckets()
    except KeyError as missing:
        sys.exit(f"error: {missing.args[0]} is not set\n  mend: see infra/servers/secrets.py")
    except (psycopg2.Error, BotoCoreError, ClientError) as error:
        sys.exit(f"error: {str(error).strip()}")
