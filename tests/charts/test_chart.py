import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bitshift_operator.controller.builtins import DIRECTORY
from bitshift_operator.settings import Settings
from tests.charts.values_table import CHART, all_paths, documented, readme

NOT_IN_A_POD = {"kubeconfig", "context"}
POLICIES = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
EVERYTHING = (
    "monitoring.podMonitors.enabled=true", "monitoring.alerts.enabled=true", "monitoring.dashboard.enabled=true",
    "watchNamespaces={team-a,team-b}", "imagePullSecrets={mine}", "operator.priorityClassName=system-cluster-critical",
    "operator.podLabels.a=b", "operator.podAnnotations.c=d", "operator.nodeSelector.e=f",
)  # fmt: skip


def helm(*args):
    program = Path(sys.executable).with_name("helm")
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False, timeout=60)


def rendered(*settings):
    flags = [word for each in settings for word in ("--set", each)]
    kubernetes = ("--kube-version", "1.35.0", "--api-versions", POLICIES)
    done = helm("template", "bitshift", CHART, "-n", "bitshift-system", *kubernetes, *flags)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def of_kind(kind, manifests):
    return [each for each in manifests if each["kind"] == kind]


@pytest.fixture(scope="module")
def defaults():
    return rendered()


@pytest.fixture(scope="module")
def pods(defaults):
    return [each["spec"]["template"]["spec"] for each in defaults if each["kind"] in ("Deployment", "Job")]


def test_the_chart_is_clean_by_helms_own_linter():
    done = helm("lint", "--strict", CHART)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "typo", ["replicaCount=2", "operator.replica=2", "image.tagg=x", "lease.second=9", "monitoring.alerts.on=true"]
)
def test_a_value_that_is_not_known_is_refused(typo):
    done = helm("template", "bitshift", CHART, "--kube-version", "1.35.0", "--set", typo)

    assert done.returncode != 0
    assert typo.partition("=")[0].rpartition(".")[2] in done.stderr


@pytest.mark.parametrize("wrong", ["operator.logLevel=LOUD", "imagePullPolicy=Sometimes", "operator.workers=0"])
def test_a_value_that_the_operator_would_refuse_is_refused_here(wrong):
    assert helm("template", "bitshift", CHART, "--kube-version", "1.35.0", "--set", wrong).returncode != 0


def test_every_object_of_the_schema_is_closed():
    def open_objects(schema, path="values"):
        if "properties" in schema:
            if schema.get("additionalProperties") is not False:
                yield path
            for name, each in schema["properties"].items():
                yield from open_objects(each, f"{path}.{name}")

    assert list(open_objects(json.loads((CHART / "values.schema.json").read_text()))) == []


def test_the_environment_is_the_operators_settings():
    for manifests in (rendered(), rendered(*EVERYTHING)):
        (deployment,) = of_kind("Deployment", manifests)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        environment = {each["name"] for each in container["env"] if each["name"].startswith("BITSHIFT_")}
        assert environment == {f"BITSHIFT_{name.upper()}" for name in set(Settings.model_fields) - NOT_IN_A_POD}


def test_the_charts_defaults_are_the_settings_defaults(defaults, monkeypatch):
    (deployment,) = of_kind("Deployment", defaults)
    for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]:
        if "value" in each:
            monkeypatch.setenv(each["name"], each["value"])
    said, own = Settings().model_dump(), Settings.model_construct().model_dump()

    assert {name for name in own if said[name] != own[name]} == {"runtime_image"}


def test_pods_are_restricted(pods):
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() & {"emptyDir", "projected"} for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_operator_is_replaced_not_doubled_and_bounded(defaults):
    (deployment,) = of_kind("Deployment", defaults)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert container["resources"]["limits"] == {"memory": "256Mi"}
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_no_right_is_a_wildcard_and_secrets_are_only_read_one_by_one(defaults):
    rules = [rule for kind in ("Role", "ClusterRole") for each in of_kind(kind, defaults) for rule in each["rules"]]

    assert rules
    assert not [rule for rule in rules if any("*" in value for values in rule.values() for value in values)]
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["get"]]


def test_logs_of_pods_are_read_where_models_are_and_nothing_of_pods_is_entered(defaults):
    granted = [
        (role["metadata"]["name"], rule["resources"], rule["verbs"])
        for kind in ("Role", "ClusterRole")
        for role in of_kind(kind, defaults)
        for rule in role["rules"]
        if any(each.startswith("pods/") for each in rule["resources"])
    ]

    assert granted == [("bitshift-models", ["pods/log"], ["get"])]


def test_what_makes_pods_is_written_where_models_are_and_what_it_makes_is_not(defaults):
    rules = [(role["metadata"]["name"], rule) for role in of_kind("ClusterRole", defaults) for rule in role["rules"]]
    verbs = ["get", "list", "watch", "create", "patch", "delete"]

    for kind in ("deployments", "leaderworkersets"):
        assert [(name, rule["verbs"]) for name, rule in rules if kind in rule["resources"]] == [
            ("bitshift-models", verbs)
        ]
    assert not [rule for _, rule in rules if {"statefulsets", "replicasets"} & set(rule["resources"])]


def test_rights_over_models_are_bound_in_the_watched_namespaces_alone():
    manifests = rendered("watchNamespaces={team-a,team-b}")
    wide = [each["roleRef"]["name"] for each in of_kind("ClusterRoleBinding", manifests)]
    narrow = {each["metadata"]["namespace"] for each in of_kind("RoleBinding", manifests)}

    assert wide == ["bitshift-cluster"]
    assert narrow == {"team-a", "team-b", "bitshift-system"}


def test_crds_outlive_the_release(defaults):
    crds = of_kind("CustomResourceDefinition", defaults)

    assert len(crds) == 4
    assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in crds} == {"keep"}
    assert not of_kind("CustomResourceDefinition", rendered("crds.enabled=false"))


def test_what_is_built_in_reaches_the_folder_that_the_operator_reads(defaults):
    (deployment,) = of_kind("Deployment", defaults)
    pod = deployment["spec"]["template"]["spec"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "built-in"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "built-in"]
    mounted = {source["configMap"]["name"] for source in volume["projected"]["sources"]}
    shipped = {path.name for path in (CHART / "files").glob("*/*.yaml")}
    kept = [each for each in of_kind("ConfigMap", defaults) if each["metadata"]["name"] in mounted]

    assert mount["mountPath"] == str(DIRECTORY)
    assert {name for each in kept for name in each["data"]} == shipped
    assert all(len(json.dumps(each)) < 1_000_000 for each in kept)


def test_uninstalling_asks_first(defaults):
    (job,) = of_kind("Job", defaults)

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["uninstall"]
    assert not of_kind("Job", rendered("uninstall.check=false"))


def test_what_is_optional_is_off_and_renders_when_asked_for(defaults):
    assert not [each for each in defaults if each["kind"] in ("PodMonitor", "PrometheusRule")]
    everything = rendered(*EVERYTHING)

    assert len(of_kind("PodMonitor", everything)) == 2
    (dashboard,) = [each for each in of_kind("ConfigMap", everything) if each["metadata"]["name"].endswith("dashboard")]
    assert json.loads(dashboard["data"]["bitshift.json"])["panels"]


def test_alerts_and_panels_name_metrics_that_exist():
    shown = (CHART / "files" / "dashboard.json").read_text() + (CHART / "templates/monitoring/alerts.yaml").read_text()
    root = CHART.parents[1]
    own = (root / "operator/bitshift_operator/controller/metrics.py").read_text()
    for name in {word for word in _words(shown) if word.startswith("bitshift_") and "relay" not in word}:
        plain = name.removesuffix("_total").removesuffix("_bucket")
        assert f'"{plain}"' in own, name


def _words(text):
    return "".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split()


def test_objects_of_the_chart_are_not_taken_for_parts_of_a_model(defaults):
    labels = [each["metadata"].get("labels") or {} for each in defaults]

    assert not [each for each in labels if each.get("app.kubernetes.io/managed-by") == "bitshift"]


def test_every_value_has_a_sentence_and_the_readme_has_them_all():
    paths = {path for path, _, _ in documented()}
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert set(all_paths(values, paths)) <= paths
    assert (CHART / "README.md").read_text() == readme(), "run `make crds`"
