// Command pack makes images of a Dockerfile without a container engine: of those stages that begin with nothing and only
// copy files. Nothing is run.
//
//	pack -file Dockerfile -context FOLDER [-from STAGE=FOLDER]... [-arg NAME=VALUE]... -out IMAGES.tar IMAGE[=STAGE]...
//
// The files of a stage that is not made itself, such as one that compiles, are expected in the folder that -from names. An
// image without a stage is the last one of the Dockerfile, as with `docker build`. The archive is one that
// `ctr images import`, `kind load image-archive` and `docker load` take.
package main

import (
	"archive/tar"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// pairs is a flag that may be given several times, each NAME=VALUE.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(pair string) error {
	key, value, found := strings.Cut(pair, "=")
	if !found {
		return fmt.Errorf("%q is not NAME=VALUE", pair)
	}
	p[key] = value
	return nil
}

// builder makes the stages of one Dockerfile.
type builder struct {
	stages  []instructions.Stage
	context string
	from    pairs
	args    pairs
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	b := builder{from: pairs{}, args: pairs{}}
	file := flag.String("file", "Dockerfile", "the Dockerfile")
	out := flag.String("out", "images.tar", "the archive to write")
	flag.StringVar(&b.context, "context", ".", "the folder that COPY copies from")
	flag.Var(b.from, "from", "STAGE=FOLDER: where the files of a stage that is not made are")
	flag.Var(b.args, "arg", "NAME=VALUE: an argument of the build")
	flag.Parse()

	source, err := os.Open(*file)
	check(err)
	parsed, err := parser.Parse(source)
	check(err)
	b.stages, _, err = instructions.Parse(parsed.AST, nil)
	check(err)

	images := map[name.Reference]v1.Image{}
	for _, wanted := range flag.Args() {
		image, stage, named := strings.Cut(wanted, "=")
		at := len(b.stages) - 1
		if named {
			if at, named = instructions.HasStage(b.stages, stage); !named {
				log.Fatalf("%s has no stage %s", *file, stage)
			}
		}
		tag, err := name.NewTag(image)
		check(err)
		images[tag], err = b.image(at)
		check(err)
	}
	check(tarball.MultiRefWriteToFile(*out, images))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// image makes the stage at an index.
func (b *builder) image(at int) (v1.Image, error) {
	stage := b.stages[at]
	image := empty.Image
	if stage.BaseName != "scratch" {
		base, found := instructions.HasStage(b.stages[:at], stage.BaseName)
		if !found {
			return nil, fmt.Errorf("stage %q begins with %s, which is neither scratch nor an earlier stage", stage.Name, stage.BaseName)
		}
		var err error
		if image, err = b.image(base); err != nil {
			return nil, err
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS = runtime.GOARCH, "linux"
	variables := map[string]string{}
	for _, command := range stage.Commands {
		if expands, ok := command.(instructions.SupportsSingleWordExpansion); ok {
			if err := expands.Expand(expander(variables)); err != nil {
				return nil, err
			}
		}
		layers, err := b.apply(command, &file.Config, variables)
		if err != nil {
			return nil, fmt.Errorf("stage %q: %w", stage.Name, err)
		}
		if image, err = mutate.AppendLayers(image, layers...); err != nil {
			return nil, err
		}
	}
	return withConfig(image, file)
}

// withConfig sets everything of the configuration but what the layers say of themselves.
func withConfig(image v1.Image, file *v1.ConfigFile) (v1.Image, error) {
	made, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file.RootFS, file.History = made.RootFS, made.History
	return mutate.ConfigFile(image, file)
}

func expander(variables map[string]string) instructions.SingleWordExpander {
	environment := make([]string, 0, len(variables))
	for key, value := range variables {
		environment = append(environment, key+"="+value)
	}
	lex := shell.NewLex('\\')
	return func(word string) (string, error) {
		expanded, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(environment))
		return expanded, err
	}
}

// apply is what one instruction does: to the configuration, or by the layers that it gives.
func (b *builder) apply(command instructions.Command, config *v1.Config, variables map[string]string) ([]v1.Layer, error) {
	switch command := command.(type) {
	case *instructions.ArgCommand:
		for _, arg := range command.Args {
			if value, given := b.args[arg.Key]; given {
				variables[arg.Key] = value
			} else if arg.Value != nil {
				variables[arg.Key] = *arg.Value
			}
		}
	case *instructions.CopyCommand:
		return b.copied(command)
	case *instructions.EntrypointCommand:
		if command.PrependShell {
			return nil, fmt.Errorf("pack takes an ENTRYPOINT as a JSON list only: %s", command)
		}
		config.Entrypoint = command.CmdLine
	case *instructions.EnvCommand:
		for _, variable := range command.Env {
			config.Env = append(config.Env, variable.Key+"="+variable.Value)
		}
	case *instructions.ExposeCommand:
		if config.ExposedPorts == nil {
			config.ExposedPorts = map[string]struct{}{}
		}
		for _, port := range command.Ports {
			if strings.Contains(port, "/") {
				return nil, fmt.Errorf("pack knows ports of TCP only, without its name: %s", command)
			}
			config.ExposedPorts[port+"/tcp"] = struct{}{}
		}
	case *instructions.LabelCommand:
		if config.Labels == nil {
			config.Labels = map[string]string{}
		}
		for _, label := range command.Labels {
			config.Labels[label.Key] = label.Value
		}
	case *instructions.StopSignalCommand:
		config.StopSignal = command.Signal
	case *instructions.UserCommand:
		config.User = command.User
	default:
		return nil, fmt.Errorf("%s needs a container engine, or is not known to pack", command.Name())
	}
	return nil, nil
}

// copied is the layer of a COPY.
func (b *builder) copied(command *instructions.CopyCommand) ([]v1.Layer, error) {
	if command.Chown != "" || command.Chmod != "" || command.Parents || len(command.ExcludePatterns)+len(command.SourceContents) > 0 {
		return nil, fmt.Errorf("pack knows no flag of COPY but --from, and no here-document: %s", command)
	}
	root := b.context
	if command.From != "" {
		var given bool
		if root, given = b.from[command.From]; !given {
			return nil, fmt.Errorf("the files of stage %s are missing: say -from %s=FOLDER", command.From, command.From)
		}
	}
	if len(command.SourcePaths) != 1 {
		return nil, fmt.Errorf("pack copies one file or folder at a time: %s", command)
	}
	source := filepath.Join(root, command.SourcePaths[0])
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && strings.HasSuffix(command.DestPath, "/") {
		return nil, fmt.Errorf("pack copies a file only to a path that names it: %s", command)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(write(writer, source, command.DestPath)) }()
		return reader, nil
	})
	if err != nil {
		return nil, fmt.Errorf("COPY %s: %w", source, err)
	}
	return []v1.Layer{layer}, nil
}

// write archives a file, or what is in a folder, so that it lies at destination: root's, and of no time, so that the
// same files are the same layer.
func write(to io.Writer, source, destination string) error {
	archive := tar.NewWriter(to)
	err := filepath.WalkDir(source, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(source, at)
		if err != nil {
			return err
		}
		place := strings.TrimPrefix(path.Join(destination, filepath.ToSlash(inside)), "/")
		if place == "" {
			return nil
		}
		return add(archive, at, place, entry)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

func add(archive *tar.Writer, at, place string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	target := ""
	if entry.Type()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(at); err != nil {
			return err
		}
	}
	of, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header := tar.Header{Typeflag: of.Typeflag, Name: place, Linkname: target, Size: of.Size, Mode: of.Mode}
	if err := archive.WriteHeader(&header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(at)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}
