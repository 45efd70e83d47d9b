// Command addons is one binary holding helm and CoreDNS.
// It runs the one named by argv[0], or else by its first argument.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/whoami"
	helmcmd "helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
)

var addons = map[string]func(){
	"helm":    helm,
	"coredns": coremain.Run,
}

func main() {
	name := filepath.Base(os.Args[0])
	if addons[name] == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	run := addons[name]
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: addons helm|coredns ...")
		os.Exit(2)
	}
	run()
}

func helm() {
	kube.ManagedFieldsManager = "helm"
	cmd, err := helmcmd.NewRootCmd(os.Stdout, os.Args[1:], helmcmd.SetupLogging)
	if err == nil {
		err = cmd.Execute()
	}
	var coded helmcmd.CommandError
	if errors.As(err, &coded) {
		os.Exit(coded.ExitCode)
	}
	if err != nil {
		os.Exit(1)
	}
}
