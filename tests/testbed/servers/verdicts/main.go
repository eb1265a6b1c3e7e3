// Reads objects as JSON lines and prints, a line for each, what Flux makes of it: by kstatus, and by the
// healthCheckExprs of the Flux Kustomizations that came before it. Such a Kustomization is decoded strictly.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

type verdict struct {
	Kstatus string `json:"kstatus"`
	Cel     string `json:"cel"`
}

type judge map[schema.GroupVersionKind]*cel.StatusEvaluator

func (j judge) learn(line []byte) error {
	var found kustomizev1.Kustomization
	if err := yaml.UnmarshalStrict(line, &found); err != nil {
		return err
	}
	for _, check := range found.Spec.HealthCheckExprs {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return err
		}
		j[schema.FromAPIVersionAndKind(check.APIVersion, check.Kind)] = evaluator
	}
	return nil
}

func (j judge) judge(object *unstructured.Unstructured) (verdict, error) {
	result, err := status.Compute(object)
	if err != nil {
		return verdict{}, err
	}
	said := verdict{Kstatus: string(result.Status)}
	if evaluator, there := j[object.GroupVersionKind()]; there {
		by, err := evaluator.Evaluate(context.Background(), object)
		if err != nil { // Flux waits, as if it were in progress.
			said.Cel = "error: " + err.Error()
		} else {
			said.Cel = string(by.Status)
		}
	}
	return said, nil
}

func run() error {
	judges, out := judge{}, json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(in.Bytes()); err != nil {
			return err
		}
		if object.GroupVersionKind().GroupKind() == kustomizev1.GroupVersion.WithKind("Kustomization").GroupKind() {
			if err := judges.learn(in.Bytes()); err != nil {
				return err
			}
		}
		said, err := judges.judge(object)
		if err != nil {
			return err
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
	return in.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
