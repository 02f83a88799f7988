package check

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// nothing answers what a base image is like with: nothing is known of it, so that
// no registry is asked.
type nothing struct{}

func (nothing) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(ocispecs.Image{})
	return ref, digest.FromString(ref), config, err
}

// BuildKit makes a plan of each image for each architecture, and its linter finds
// nothing.
func TestTheDockerfileIsWhatBuildKitKnows(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	caps := pb.Caps.CapSet(pb.Caps.All())
	for _, c := range []struct {
		target string
		cmd    string
		ports  int
	}{
		{"full", "up", 3}, {"small", "--help", 0}, {"", "up", 3},
	} {
		for _, arch := range []string{"amd64", "arm64"} {
			platform := ocispecs.Platform{OS: "linux", Architecture: arch}
			opt := dockerfile2llb.ConvertOpt{
				Config:         dockerui.Config{Target: c.target, BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}}},
				TargetPlatform: &platform, MetaResolver: nothing{}, LLBCaps: &caps,
				Warn: func(rule, _, _, message string, _ []parser.Range) {
					t.Errorf("%s, %s: %s: %s", c.target, arch, rule, message)
				},
			}
			built, err := dockerfile2llb.Dockerfile2LLB(t.Context(), text, opt)
			if err != nil {
				t.Errorf("%s, %s: %v", c.target, arch, err)
				continue
			}
			image := built.Image
			if image.Config.User != "65532:65532" || !slices.Equal(image.Config.Entrypoint, []string{"/usr/local/bin/tasktrail"}) || !slices.Equal(image.Config.Cmd, []string{c.cmd}) {
				t.Errorf("%s, %s: %+v", c.target, arch, image.Config)
			}
			if len(image.Config.ExposedPorts) != c.ports || len(image.Config.Volumes) != 1 || image.Architecture != arch {
				t.Errorf("%s, %s: ports %v, volumes %v, architecture %s", c.target, arch, image.Config.ExposedPorts, image.Config.Volumes, image.Architecture)
			}
		}
	}
}
