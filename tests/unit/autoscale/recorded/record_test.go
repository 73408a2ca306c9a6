// Lets the controller of Kubernetes decide the syncs of a recording, and writes down what it did.
// It has to be compiled inside the controller's package: see README.md.
package podautoscaler

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	scaleclient "k8s.io/client-go/scale"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/monitor"
	consistencyutil "k8s.io/kubernetes/pkg/controller/util/consistency"
	"k8s.io/kubernetes/pkg/controller/util/selectors"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	resourceapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	resourceclient "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
	externalclient "k8s.io/metrics/pkg/client/external_metrics"
)

type recording struct {
	Manifest   json.RawMessage `json:"manifest"`
	Controller struct {
		ToleranceRatio           float64 `json:"tolerance_ratio"`
		DownscaleStabilizationS  float64 `json:"downscale_stabilization_s"`
		CPUInitializationPeriodS float64 `json:"cpu_initialization_period_s"`
		InitialReadinessDelayS   float64 `json:"initial_readiness_delay_s"`
		ScaleToZero              bool    `json:"scale_to_zero"`
	} `json:"controller"`
	RequestsMilli map[string]map[string]int64 `json:"requests_milli"`
	Syncs         []*syncStep                 `json:"syncs"`
}

type syncStep struct {
	NowS           float64         `json:"now_s"`
	SpecReplicas   int32           `json:"spec_replicas"`
	StatusReplicas int32           `json:"status_replicas"`
	Restarted      bool            `json:"restarted,omitempty"`
	Manifest       json.RawMessage `json:"manifest,omitempty"`
	Selector       *string         `json:"selector,omitempty"`
	ScaleError     string          `json:"scale_error,omitempty"`
	UpdateError    string          `json:"update_error,omitempty"`
	Running        int             `json:"running,omitempty"` // so many Running and Ready pods p0, p1, … come first
	Pods           []podStep       `json:"pods,omitempty"`
	Readings       []reading       `json:"readings"`
	Decided        *outcome        `json:"decided"`
}

type podStep struct {
	Name        string   `json:"name"`
	Phase       string   `json:"phase,omitempty"`
	Ready       *string  `json:"ready,omitempty"` // empty: no condition
	Deleting    bool     `json:"deleting,omitempty"`
	StartS      *float64 `json:"start_s,omitempty"`
	ReadySinceS *float64 `json:"ready_since_s,omitempty"`
}

// One of the fields, by the kind of the metric. A sample is value (or null), time, window.
type reading struct {
	Error   string                 `json:"error,omitempty"`
	Pods    map[string]int64       `json:"pods,omitempty"`
	Value   int64                  `json:"value,omitempty"`
	Values  []int64                `json:"values,omitempty"`
	Samples map[string][3]*float64 `json:"samples,omitempty"`
}

type outcome struct {
	Replicas        *int32       `json:"replicas"` // null: scale not written
	DesiredReplicas int32        `json:"desired_replicas"`
	Events          [][3]string  `json:"events"`
	Conditions      [][4]string  `json:"conditions"`
	Current         []*current   `json:"current"` // null: the metric failed
	Memory          [3][][]int64 `json:"memory"`  // recommendations, ups, downs: number, nanoseconds, outdated
}

type current struct {
	Value       string `json:"value"`
	Utilization *int32 `json:"utilization,omitempty"`
}

// cluster plays every client of the controller.
type cluster struct {
	recording *recording
	step      *syncStep
	hpa       *autoscalingv2.HorizontalPodAutoscaler
	epoch     time.Time
	ticked    bool
	resources int
}

// tick lets a nanosecond pass between the start of a sync and what follows, as reading metrics does in earnest.
func (c *cluster) tick() {
	if !c.ticked {
		c.ticked = true
		time.Sleep(1)
	}
}

func (c *cluster) at(seconds float64) metav1.Time {
	return metav1.Time{Time: c.epoch.Add(nanoseconds(seconds))}
}

func nanoseconds(seconds float64) time.Duration {
	return time.Duration(math.RoundToEven(seconds * 1e9))
}

func milli(value int64) resource.Quantity {
	return *resource.NewMilliQuantity(value, resource.DecimalSI)
}

func (c *cluster) reading(metric string) reading {
	c.tick()
	for i, spec := range c.hpa.Spec.Metrics {
		switch {
		case spec.Pods != nil && spec.Pods.Metric.Name == metric,
			spec.Object != nil && spec.Object.Metric.Name == metric,
			spec.External != nil && spec.External.Metric.Name == metric:
			return c.step.Readings[i]
		}
	}
	panic("no reading of " + metric)
}

func failed(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// scale

func (c *cluster) Scales(string) scaleclient.ScaleInterface { return c }

func (c *cluster) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	selector := "app=x"
	if c.step.Selector != nil {
		selector = *c.step.Selector
	}
	return &autoscalingv1.Scale{
		Spec:   autoscalingv1.ScaleSpec{Replicas: c.step.SpecReplicas},
		Status: autoscalingv1.ScaleStatus{Replicas: c.step.StatusReplicas, Selector: selector},
	}, failed(c.step.ScaleError)
}

func (c *cluster) Update(_ context.Context, _ schema.GroupResource, scale *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	c.tick()
	if err := failed(c.step.UpdateError); err != nil {
		return nil, err
	}
	c.step.Decided.Replicas = &scale.Spec.Replicas
	return scale, nil
}

func (c *cluster) Patch(context.Context, schema.GroupVersionResource, string, types.PatchType, []byte, metav1.PatchOptions) (*autoscalingv1.Scale, error) {
	panic("not used")
}

// status and events

type hpaClient struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	cluster *cluster
}

func (c *cluster) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return hpaClient{cluster: c}
}

func (c hpaClient) UpdateStatus(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	c.cluster.hpa.Status = *hpa.Status.DeepCopy()
	return hpa, nil
}

func (c *cluster) Event(_ runtime.Object, kind, reason, message string) {
	c.step.Decided.Events = append(c.step.Decided.Events, [3]string{kind, reason, message})
}

func (c *cluster) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	c.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

func (c *cluster) AnnotatedEventf(object runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	c.Eventf(object, kind, reason, format, args...)
}

// metrics

type custom struct{ *cluster }

func (c custom) RootScopedMetrics() customclient.MetricsInterface       { return c }
func (c custom) NamespacedMetrics(string) customclient.MetricsInterface { return c }

func (c custom) GetForObject(_ schema.GroupKind, _, metric string, _ labels.Selector) (*customapi.MetricValue, error) {
	answer := c.reading(metric)
	return &customapi.MetricValue{Value: milli(answer.Value)}, failed(answer.Error)
}

func (c custom) GetForObjects(_ schema.GroupKind, _ labels.Selector, metric string, _ labels.Selector) (*customapi.MetricValueList, error) {
	answer, list := c.reading(metric), &customapi.MetricValueList{}
	for pod, value := range answer.Pods {
		item := customapi.MetricValue{DescribedObject: v1.ObjectReference{Name: pod}, Value: milli(value)}
		list.Items = append(list.Items, item)
	}
	return list, failed(answer.Error)
}

type external struct{ *cluster }

func (c external) NamespacedMetrics(string) externalclient.MetricsInterface { return c }

func (c external) List(metric string, _ labels.Selector) (*externalapi.ExternalMetricValueList, error) {
	answer, list := c.reading(metric), &externalapi.ExternalMetricValueList{}
	for _, value := range answer.Values {
		list.Items = append(list.Items, externalapi.ExternalMetricValue{Value: milli(value)})
	}
	return list, failed(answer.Error)
}

type resources struct {
	resourceclient.PodMetricsInterface
	cluster *cluster
}

func (r resources) PodMetricses(string) resourceclient.PodMetricsInterface { return r }

// List answers for the next metric that asks: the controller goes through them in order.
func (r resources) List(context.Context, metav1.ListOptions) (*resourceapi.PodMetricsList, error) {
	c := r.cluster
	c.tick()
	for i, spec := range c.hpa.Spec.Metrics {
		name, container := v1.ResourceName(""), "server"
		switch {
		case i < c.resources:
			continue
		case spec.Resource != nil:
			name = spec.Resource.Name
		case spec.ContainerResource != nil:
			name, container = spec.ContainerResource.Name, spec.ContainerResource.Container
		default:
			continue
		}
		c.resources = i + 1
		answer, list := c.step.Readings[i], &resourceapi.PodMetricsList{}
		for pod, sample := range answer.Samples {
			usage := v1.ResourceList{}
			if sample[0] != nil {
				usage[name] = milli(int64(*sample[0]))
			}
			list.Items = append(list.Items, resourceapi.PodMetrics{
				ObjectMeta: metav1.ObjectMeta{Name: pod},
				Timestamp:  c.at(*sample[1]),
				Window:     metav1.Duration{Duration: nanoseconds(*sample[2])},
				Containers: []resourceapi.ContainerMetrics{{Name: container, Usage: usage}},
			})
		}
		return list, failed(answer.Error)
	}
	panic("no resource metric left")
}

// pods

type podLister struct{ *cluster }

func (l podLister) Pods(string) corelisters.PodNamespaceLister { return l }
func (l podLister) Get(string) (*v1.Pod, error)                { panic("not used") }

func (l podLister) List(labels.Selector) ([]*v1.Pod, error) {
	var steps []podStep
	for i := range l.step.Running {
		steps = append(steps, podStep{Name: fmt.Sprintf("p%d", i)})
	}
	var pods []*v1.Pod
	for _, step := range append(steps, l.step.Pods...) {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: step.Name, Labels: map[string]string{"app": "x"}}}
		pod.Status.Phase = v1.PodRunning
		if step.Phase != "" {
			pod.Status.Phase = v1.PodPhase(step.Phase)
		}
		if step.Deleting {
			pod.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		}
		if step.StartS != nil {
			start := l.at(*step.StartS)
			pod.Status.StartTime = &start
		}
		if step.Ready == nil || *step.Ready != "" {
			ready := v1.PodCondition{Type: v1.PodReady, Status: v1.ConditionTrue}
			if step.Ready != nil {
				ready.Status = v1.ConditionStatus(*step.Ready)
			}
			if step.ReadySinceS != nil {
				ready.LastTransitionTime = l.at(*step.ReadySinceS)
			}
			pod.Status.Conditions = []v1.PodCondition{ready}
		}
		for _, container := range slices.Sorted(maps.Keys(l.recording.RequestsMilli)) {
			list := v1.ResourceList{}
			for name, value := range l.recording.RequestsMilli[container] {
				list[v1.ResourceName(name)] = milli(value)
			}
			requirements := v1.ResourceRequirements{Requests: list}
			pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: container, Resources: requirements})
		}
		pods = append(pods, pod)
	}
	return pods, nil
}

// read makes the object the controller has in its cache: with defaults, and once through the wire.
func read(t *testing.T, manifest json.RawMessage) *autoscalingv2.HorizontalPodAutoscaler {
	hpa, stored := &autoscalingv2.HorizontalPodAutoscaler{}, &autoscalingv2.HorizontalPodAutoscaler{}
	if err := json.Unmarshal(manifest, hpa); err != nil {
		t.Fatal(err)
	}
	defaults.SetDefaults_HorizontalPodAutoscaler(hpa)
	wire, err := json.Marshal(hpa)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(wire, stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

func play(t *testing.T, r *recording) {
	gate := fmt.Sprintf("HPAScaleToZero=%v", r.Controller.ScaleToZero)
	if err := utilfeature.DefaultMutableFeatureGate.Set(gate); err != nil {
		t.Fatal(err)
	}
	c := &cluster{recording: r, epoch: time.Now(), hpa: read(t, r.Manifest)}
	mapper := apimeta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, apimeta.RESTScopeNamespace)
	key := c.hpa.Namespace + "/" + c.hpa.Name
	tracker := newHPASelectorStore()
	tracker.PutIfAbsent(c.hpa.Namespace, selectors.Parse(key), labels.Nothing())
	a := &HorizontalController{
		scaleNamespacer:              c,
		hpaNamespacer:                c,
		mapper:                       mapper,
		tolerance:                    r.Controller.ToleranceRatio,
		eventRecorder:                c,
		downscaleStabilisationWindow: nanoseconds(r.Controller.DownscaleStabilizationS),
		monitor:                      monitor.New(),
		recommendations:              map[string][]timestampedRecommendation{},
		scaleUpEvents:                map[string][]timestampedScaleEvent{},
		scaleDownEvents:              map[string][]timestampedScaleEvent{},
		selectorTracker:              tracker,
		consistencyStore:             consistencyutil.NewNoopConsistencyStore(),
		podLister:                    podLister{c},
	}
	a.replicaCalc = NewReplicaCalculator(
		metricsclient.NewRESTMetricsClient(resources{cluster: c}, custom{c}, external{c}),
		a.podLister,
		nanoseconds(r.Controller.CPUInitializationPeriodS),
		nanoseconds(r.Controller.InitialReadinessDelayS),
	)
	for _, step := range r.Syncs {
		time.Sleep(c.at(step.NowS).Add(-1).Sub(time.Now()))
		c.step, c.ticked, c.resources = step, false, 0
		step.Decided = &outcome{Events: [][3]string{}, Conditions: [][4]string{}, Current: []*current{}}
		if step.Manifest != nil {
			c.hpa.Spec = read(t, step.Manifest).Spec
		}
		if step.Restarted {
			delete(a.recommendations, key)
			delete(a.scaleUpEvents, key)
			delete(a.scaleDownEvents, key)
		}
		_ = a.reconcileAutoscaler(context.Background(), c.hpa, key)
		c.writeDown(a, key)
	}
}

func (c *cluster) writeDown(a *HorizontalController, key string) {
	o, status := c.step.Decided, c.hpa.Status
	o.DesiredReplicas = status.DesiredReplicas
	for _, each := range status.Conditions {
		o.Conditions = append(o.Conditions, [4]string{string(each.Type), string(each.Status), each.Reason, each.Message})
	}
	for _, each := range status.CurrentMetrics {
		var value autoscalingv2.MetricValueStatus
		switch {
		case each.Pods != nil:
			value = each.Pods.Current
		case each.Object != nil:
			value = each.Object.Current
		case each.External != nil:
			value = each.External.Current
		case each.Resource != nil:
			value = each.Resource.Current
		case each.ContainerResource != nil:
			value = each.ContainerResource.Current
		default:
			o.Current = append(o.Current, nil)
			continue
		}
		quantity := value.AverageValue
		if quantity == nil {
			quantity = value.Value
		}
		o.Current = append(o.Current, &current{Value: quantity.String(), Utilization: value.AverageUtilization})
	}
	o.Memory = [3][][]int64{{}, {}, {}}
	for _, each := range a.recommendations[key] {
		o.Memory[0] = append(o.Memory[0], []int64{int64(each.recommendation), each.timestamp.Sub(c.epoch).Nanoseconds()})
	}
	for i, events := range [][]timestampedScaleEvent{a.scaleUpEvents[key], a.scaleDownEvents[key]} {
		for _, each := range events {
			entry := []int64{int64(each.replicaChange), each.timestamp.Sub(c.epoch).Nanoseconds(), 0}
			if each.outdated {
				entry[2] = 1
			}
			o.Memory[i+1] = append(o.Memory[i+1], entry)
		}
	}
}

func TestRecord(t *testing.T) {
	path := os.Getenv("RECORDING")
	text, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	played, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	lines, encoder := bufio.NewScanner(text), json.NewEncoder(played)
	lines.Buffer(nil, 1<<24)
	encoder.SetEscapeHTML(false)
	for lines.Scan() {
		r := &recording{}
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) { play(t, r) })
		if err := encoder.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := played.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
